//! The page people look at: the book, its details, and the reviews with the
//! version that answered.
//!
//! Pure: JSON in, HTML out. Everything that came from elsewhere is escaped.

use serde_json::Value;

use super::productpage::{DESCRIPTION, Gathered, TITLE};

const STYLE: &str = include_str!("page/style.css");

/// The whole page for one reader.
pub(super) fn render(user: Option<&str>, details: &Gathered, reviews: &Gathered) -> String {
    let mut html = String::with_capacity(12 * 1024);
    html.push_str("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">");
    html.push_str("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">");
    html.push_str(&format!("<title>{TITLE} - Bookinfo</title><style>{STYLE}</style></head><body>"));
    html.push_str(&bar(user));
    html.push_str("<main><section class=\"hero\"><p class=\"kicker\">Bookinfo sample</p>");
    html.push_str(&format!("<h1>{TITLE}</h1><p class=\"lead\">{DESCRIPTION}</p></section>"));
    html.push_str("<div class=\"columns\"><section class=\"card\"><h2>Book details</h2>");
    html.push_str(&details_table(details));
    html.push_str("</section><section class=\"card wide\"><h2>Book reviews</h2>");
    html.push_str(&reviews_list(reviews));
    html.push_str("</section></div></main></body></html>\n");
    html
}

/// A page around a short message, for the root and for refusals.
pub(super) fn plain(title: &str, body_html: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <style>{STYLE}</style></head><body>{}<main><section class=\"hero\"><h1>{title}</h1>\
         <p class=\"lead\">{body_html}</p></section></main></body></html>\n",
        bar(None)
    )
}

fn bar(user: Option<&str>) -> String {
    let session = match user {
        Some(name) => format!(
            "<span class=\"user\">{}</span><a class=\"button\" href=\"/logout\">Sign out</a>",
            escape(name)
        ),
        None => "<form method=\"post\" action=\"/login\"><input name=\"username\" \
                 placeholder=\"User name\" aria-label=\"User name\" autocomplete=\"username\">\
                 <button class=\"button\">Sign in</button></form>"
            .to_owned(),
    };
    format!("<header><a class=\"brand\" href=\"/productpage\">Bookinfo</a>{session}</header>")
}

fn details_table((_, details): &Gathered) -> String {
    if let Some(error) = details["error"].as_str() {
        return sorry("Error fetching product details!", error);
    }
    let rows = [
        ("Author", "author"),
        ("Year", "year"),
        ("Type", "type"),
        ("Pages", "pages"),
        ("Publisher", "publisher"),
        ("Language", "language"),
        ("ISBN-10", "ISBN-10"),
        ("ISBN-13", "ISBN-13"),
    ];
    let row = |(label, key): (&str, &str)| {
        format!("<dt>{label}</dt><dd>{}</dd>", escape(&text(&details[key])))
    };
    format!("<dl>{}</dl>", rows.map(row).concat())
}

fn reviews_list((_, reviews): &Gathered) -> String {
    if let Some(error) = reviews["error"].as_str() {
        return sorry("Error fetching product reviews!", error);
    }
    let none = Vec::new();
    let written = reviews["reviews"].as_array().unwrap_or(&none);
    let quotes: String = written.iter().map(quote).collect();
    let version = version_of(written);
    let pod = escape(&text(&reviews["podname"]));
    format!(
        "{quotes}<p class=\"served\" data-version=\"{version}\">Reviews served by <b>{pod}</b> \
         <span class=\"badge {version}\">{version}</span></p>"
    )
}

/// Which generation wrote these reviews, told by their stars. Without an answer
/// from ratings versions 2 and 3 look alike.
fn version_of(written: &[Value]) -> &'static str {
    let color = written.iter().find_map(|review| review["rating"]["color"].as_str());
    match color {
        Some("red") => "v3",
        Some(_) => "v2",
        None if written.iter().any(|review| !review["rating"].is_null()) => "unrated",
        None => "v1",
    }
}

fn quote(review: &Value) -> String {
    let rating = &review["rating"];
    let stars = match (rating["stars"].as_u64(), rating["error"].as_str()) {
        (Some(count), _) => {
            let count = count.min(5) as usize;
            let color = if rating["color"] == "red" { "red" } else { "black" };
            let (full, empty) = ("★".repeat(count), "☆".repeat(5 - count));
            format!(
                "<p class=\"stars {color}\" aria-label=\"{count} of 5 stars\">{full}{empty}</p>"
            )
        }
        (None, Some(error)) => format!("<p class=\"norating\">{}</p>", escape(error)),
        (None, None) => String::new(),
    };
    let (words, reviewer) = (escape(&text(&review["text"])), escape(&text(&review["reviewer"])));
    format!("<blockquote><p>{words}</p><cite>{reviewer}</cite>{stars}</blockquote>")
}

fn sorry(what: &str, error: &str) -> String {
    format!("<div class=\"sorry\"><b>{what}</b><p>{}</p></div>", escape(error))
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn escape(raw: &str) -> String {
    let mut safe = String::with_capacity(raw.len());
    for c in raw.chars() {
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            plain => safe.push(plain),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::render;
    use hyper::StatusCode;
    use serde_json::{Value, json};

    #[test]
    fn the_version_that_answered_is_shown() {
        let rated = |rating: Value| json!({ "reviewer": "R", "text": "T", "rating": rating });
        // (reviews, what the page says)
        let table = [
            (json!([{ "reviewer": "R", "text": "T" }]), "data-version=\"v1\""),
            (json!([rated(json!({ "stars": 4, "color": "black" }))]), "★★★★☆"),
            (json!([rated(json!({ "stars": 5, "color": "black" }))]), "data-version=\"v2\""),
            (json!([rated(json!({ "stars": 5, "color": "red" }))]), "data-version=\"v3\""),
            (json!([rated(json!({ "error": "gone" }))]), "data-version=\"unrated\""),
        ];
        for (reviews, shown) in table {
            let page = page(json!({ "podname": "reviews-x", "reviews": reviews }));
            assert!(page.contains(shown), "{shown}");
            assert!(page.contains("<b>reviews-x</b>"), "{shown}");
        }
        assert!(page(json!({ "error": "Sorry" })).contains("Error fetching product reviews!"));
    }

    #[test]
    fn nothing_from_elsewhere_becomes_markup() {
        let hostile = "<script>'\"&";
        let page = page(json!({ "podname": hostile, "reviews": [{ "text": hostile }] }));
        assert!(!page.contains("<script>"));
    }

    fn page(reviews: Value) -> String {
        let details = (StatusCode::OK, json!({ "author": "A" }));
        render(Some("jason"), &details, &(StatusCode::OK, reviews))
    }
}
