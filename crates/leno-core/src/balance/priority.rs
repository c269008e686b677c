//! How requests are spread over priorities, and when all endpoints of one are used regardless of health (panic).
//!
//! Envoy's arithmetic: a level's health is `1.4 * available / total`, at most 100 %. Levels are filled in order until
//! 100 % is reached; if all together have less, what there is is scaled up. Panic is looked at only in that case.

/// Envoy's `overprovisioning_factor`, in percent.
const OVERPROVISIONING_PERCENT: usize = 140;

/// The endpoints of one priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level {
    pub(crate) available: usize,
    pub(crate) total: usize,
}

/// What one priority gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    /// Of the requests; all levels together have 100 or 0.
    pub(crate) percent: u32,
    /// Use unavailable endpoints as well.
    pub(crate) is_panic: bool,
}

pub(crate) fn loads(levels: &[Level], panic_percent: u32) -> Vec<Load> {
    let healths: Vec<u32> = levels.iter().map(health).collect();
    let total_health = healths.iter().sum::<u32>().min(100);
    let is_panic = |level: &Level| {
        total_health < 100 && level.available * 100 < panic_percent as usize * level.total
    };
    if total_health == 0 {
        return loads_without_health(levels, panic_percent);
    }
    let mut left = 100;
    let mut loads: Vec<Load> = levels
        .iter()
        .zip(&healths)
        .map(|(level, health)| {
            let percent = (health * 100 / total_health).min(left);
            left -= percent;
            Load { percent, is_panic: is_panic(level) }
        })
        .collect();
    // Rounding: what is missing goes to the first level that has any.
    if let Some(first) = loads.iter_mut().find(|load| load.percent > 0) {
        first.percent += left;
    }
    loads
}

/// Nothing is available: with panic, levels count by size; without it (0 %), nobody gets anything.
fn loads_without_health(levels: &[Level], panic_percent: u32) -> Vec<Load> {
    let total: usize = levels.iter().map(|level| level.total).sum();
    let is_panic = panic_percent > 0 && total > 0;
    let mut left = 100;
    let mut loads: Vec<Load> = levels
        .iter()
        .map(|level| {
            let percent = if is_panic { level.total * 100 / total } else { 0 };
            let percent = u32::try_from(percent).unwrap_or(100);
            left -= percent;
            Load { percent, is_panic }
        })
        .collect();
    let first = levels.iter().position(|level| level.total > 0);
    if let Some(first) = first.filter(|_| is_panic) {
        loads[first].percent += left;
    }
    loads
}

fn health(level: &Level) -> u32 {
    if level.available == 0 {
        return 0;
    }
    // At least 1: one endpoint of a thousand is little, but it is not nothing (Envoy rounds it away).
    let percent = (level.available * OVERPROVISIONING_PERCENT / level.total).clamp(1, 100);
    u32::try_from(percent).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_fail_over_as_in_envoys_documentation() {
        // ((available, total) per level, panic %, expected load per level, `!` marks panic)
        type Case<'a> = (&'a [(usize, usize)], u32, &'a str);
        let table: [Case<'_>; 16] = [
            (&[(10, 10)], 50, "100"),
            (&[(6, 10)], 50, "100"),
            (&[(4, 10)], 50, "100!"),
            (&[(0, 10)], 50, "100!"),
            (&[(0, 10)], 0, "0"),
            (&[(1, 10)], 0, "100"),
            (&[], 50, ""),
            (&[(0, 0)], 50, "0"),
            (&[(100, 100), (100, 100)], 50, "100 0"),
            (&[(72, 100), (72, 100)], 50, "100 0"),
            (&[(71, 100), (71, 100)], 50, "99 1"),
            (&[(50, 100), (50, 100)], 50, "70 30"),
            (&[(25, 100), (100, 100)], 50, "35 65"),
            (&[(0, 100), (100, 100)], 50, "0 100"),
            (&[(5, 100), (65, 100)], 50, "8! 92"),
            (&[(0, 100), (0, 300)], 50, "25! 75!"),
        ];
        for (levels, panic_percent, expected) in table {
            let levels: Vec<Level> =
                levels.iter().map(|&(available, total)| Level { available, total }).collect();
            let found: Vec<String> = loads(&levels, panic_percent)
                .iter()
                .map(|load| format!("{}{}", load.percent, if load.is_panic { "!" } else { "" }))
                .collect();
            assert_eq!(found.join(" "), expected, "{levels:?}");
        }
    }
}
