//! Fields to header blocks. The table at the peer gets what is likely to come again; everything else passes as it is.

use super::ring::{OVERHEAD, Ring};
use super::statics;
use super::{Kind, Pseudo, Tag, huffman, integer};
use crate::Known;

/// A field's name.
#[derive(Clone, Copy, Debug)]
pub(in crate::h2) enum Text<'a> {
    Known(Known),
    /// In any case.
    Other(&'a [u8]),
    Pseudo(Pseudo),
}

/// A field to encode.
#[derive(Clone, Copy, Debug)]
pub(in crate::h2) struct Item<'a> {
    pub(in crate::h2) name: Text<'a>,
    pub(in crate::h2) value: &'a [u8],
    pub(in crate::h2) tag: Tag,
}

/// The table we fill at the peer.
#[derive(Debug)]
pub(in crate::h2) struct Encoder {
    table: Ring<Kept>,
    /// The most we use of what the peer offers.
    limit: usize,
    /// Where a hash was inserted: by its low bits, the hash and the count of insertions before it.
    places: Vec<(Tag, u32)>,
    inserted: u32,
    /// Table sizes to announce: the smallest since the last block, and the one in force.
    announce: Option<(usize, usize)>,
}

/// What is kept beside an entry, whose bytes are name (of names that are only text) and value.
#[derive(Clone, Copy, Debug)]
struct Kept {
    seed: u8,
    name_bytes: u32,
}

const PLACES: usize = 128;

impl Encoder {
    pub(in crate::h2) fn new(limit: u32) -> Self {
        let limit = limit as usize;
        let announce = (limit < 4096).then_some((limit, limit));
        let table = Ring::new(limit.min(4096));
        Self { table, limit, places: Vec::new(), inserted: 0, announce }
    }

    /// The peer's SETTINGS_HEADER_TABLE_SIZE.
    pub(in crate::h2) fn peer_limit(&mut self, bytes: u32) {
        let size = self.limit.min(bytes as usize);
        if size == self.table.max() {
            return;
        }
        // RFC 7541 §4.2: the smallest of several changes must be seen by the decoder.
        let smallest = self.announce.map_or(size, |(smallest, _)| smallest.min(size));
        self.announce = Some((smallest, size));
        self.table.resize(size);
    }

    /// Begins a block.
    pub(in crate::h2) fn begin(&mut self, out: &mut Vec<u8>) {
        let Some((smallest, size)) = self.announce.take() else { return };
        if smallest < size {
            integer::write(out, 0x20, 5, smallest);
        }
        integer::write(out, 0x20, 5, size);
    }

    /// Appends a field.
    pub(in crate::h2) fn field(&mut self, item: Item<'_>, out: &mut Vec<u8>) {
        let tag = match item.tag {
            Tag::NEVER => return literal(0x10, 4, &item, Coding::Plain, out),
            Tag::LITERAL | Tag::CRUMBS => return literal(0, 4, &item, Coding::Plain, out),
            Tag::UNKNOWN if item.name.repeats() => item.hash(),
            Tag::UNKNOWN => return literal(0, 4, &item, Coding::Plain, out),
            hashed => hashed,
        };
        if let Some(age) = self.find(tag, &item) {
            integer::write(out, 0x80, 7, statics::LENGTH + 1 + age);
            return;
        }
        let charge = item.name.wire_bytes() + item.value.len() + OVERHEAD;
        // One that takes half the table would cost more entries than it is worth.
        if charge > self.table.max() / 2 || item.is_guessable() {
            return literal(0, 4, &item, Coding::Plain, out);
        }
        self.insert(tag, &item, charge);
        literal(0x40, 6, &item, Coding::Huffman, out);
    }

    /// How many insertions ago this very field was inserted, if it is still there.
    fn find(&self, tag: Tag, item: &Item<'_>) -> Option<usize> {
        let &(found, inserted) = self.places.get(tag.place())?;
        if found != tag {
            return None;
        }
        let age = self.inserted.wrapping_sub(inserted).wrapping_sub(1) as usize;
        let (bytes, kept) = self.table.get(age)?;
        let (name, value) = bytes.split_at(kept.name_bytes as usize);
        let is_same = kept.seed == item.name.seed()
            && value == item.value
            && name.eq_ignore_ascii_case(item.name.other());
        is_same.then_some(age)
    }

    fn insert(&mut self, tag: Tag, item: &Item<'_>, charge: usize) {
        let name = item.name.other();
        let kept = Kept { seed: item.name.seed(), name_bytes: name.len() as u32 };
        if !self.table.insert([name, item.value], charge, kept) {
            return;
        }
        if self.places.is_empty() {
            self.places = vec![(Tag::UNKNOWN, 0); PLACES];
        }
        self.places[tag.place()] = (tag, self.inserted);
        self.inserted = self.inserted.wrapping_add(1);
    }
}

impl Tag {
    const fn place(self) -> usize {
        self.0 as usize % PLACES
    }
}

/// What tells names apart in hashes: well-known names and pseudo-header fields by number, others by 0 and their text.
pub(super) const fn seed_of(kind: Kind) -> u8 {
    match kind {
        Kind::Field(known) => known as u8,
        Kind::Pseudo(pseudo) => seed_of_pseudo(pseudo),
        Kind::Malformed(_) => 0,
    }
}

const fn seed_of_pseudo(pseudo: Pseudo) -> u8 {
    match pseudo {
        // In a head it is a field.
        Pseudo::Authority => Known::Host as u8,
        _ => 128 + pseudo as u8,
    }
}

impl Item<'_> {
    /// The same field, to be kept in the table.
    pub(in crate::h2) fn hashed(self) -> Self {
        Self { tag: self.hash(), ..self }
    }

    fn hash(&self) -> Tag {
        Tag::of(self.name.seed(), self.name.other(), self.value)
    }

    /// Secrets so short that somebody who shares the connection could try them out (RFC 7541 §7.1).
    const fn is_guessable(&self) -> bool {
        match self.name {
            Text::Known(
                Known::Authorization | Known::ProxyAuthorization | Known::Cookie | Known::SetCookie,
            ) => self.value.len() < 20,
            Text::Known(_) | Text::Other(_) | Text::Pseudo(_) => false,
        }
    }
}

impl<'a> Text<'a> {
    const fn seed(self) -> u8 {
        match self {
            Self::Known(known) => known as u8,
            Self::Other(_) => 0,
            Self::Pseudo(pseudo) => seed_of_pseudo(pseudo),
        }
    }

    const fn other(self) -> &'a [u8] {
        match self {
            Self::Other(text) => text,
            Self::Known(_) | Self::Pseudo(_) => &[],
        }
    }

    const fn wire_bytes(self) -> usize {
        match self {
            Self::Known(known) => known.as_str().len(),
            Self::Other(text) => text.len(),
            Self::Pseudo(pseudo) => pseudo.as_str().len(),
        }
    }

    /// Names whose values are few, so that they are worth a place whoever sends them.
    const fn repeats(self) -> bool {
        match self {
            Self::Known(known) => matches!(
                known,
                Known::Accept
                    | Known::AcceptEncoding
                    | Known::AcceptLanguage
                    | Known::CacheControl
                    | Known::ContentEncoding
                    | Known::ContentType
                    | Known::GrpcStatus
                    | Known::Host
                    | Known::Origin
                    | Known::Server
                    | Known::Te
                    | Known::UserAgent
                    | Known::Vary
                    | Known::Via
                    | Known::XEnvoyDecoratorOperation
                    | Known::XEnvoyPeerMetadata
                    | Known::XEnvoyPeerMetadataId
                    | Known::XForwardedClientCert
                    | Known::XForwardedHost
                    | Known::XForwardedPort
                    | Known::XForwardedProto
                    | Known::XLenoSpelling
            ),
            Self::Other(_) => false,
            Self::Pseudo(pseudo) => !matches!(pseudo, Pseudo::Path),
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Known(known) => statics::index_of(known),
            Self::Other(_) => 0,
            Self::Pseudo(pseudo) => statics::index_of_pseudo(pseudo),
        }
    }

    fn write(self, out: &mut Vec<u8>) {
        let text = match self {
            Self::Known(known) => known.as_str().as_bytes(),
            Self::Other(text) => text,
            Self::Pseudo(pseudo) => pseudo.as_str().as_bytes(),
        };
        integer::write(out, 0, 7, text.len());
        let start = out.len();
        out.extend_from_slice(text);
        if matches!(self, Self::Other(_)) {
            out[start..].make_ascii_lowercase();
        }
    }
}

/// How a value is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Coding {
    /// As it is: what comes once is cheaper to copy than to code, here and at the peer.
    Plain,
    /// Coded where that is shorter.
    Huffman,
}

fn literal(first: u8, prefix: u32, item: &Item<'_>, coding: Coding, out: &mut Vec<u8>) {
    let index = item.name.index();
    integer::write(out, first, prefix, index);
    if index == 0 {
        item.name.write(out);
    }
    if coding == Coding::Huffman {
        let length = huffman::encoded_bytes(item.value);
        if length < item.value.len() {
            integer::write(out, 0x80, 7, length);
            huffman::encode(item.value, out);
            return;
        }
    }
    integer::write(out, 0, 7, item.value.len());
    out.extend_from_slice(item.value);
}
