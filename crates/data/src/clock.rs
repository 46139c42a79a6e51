//! The date that `strftime_now` gives to a chat template: UTC, from seconds since 1970, without a calendar library.

/// Seconds since 1970 of this machine's clock, `None` where there is no clock to read (wasm32 without a host).
pub(crate) fn now() -> Option<i64> {
    #[cfg(target_arch = "wasm32")]
    return None;
    #[cfg(not(target_arch = "wasm32"))]
    {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?;
        i64::try_from(since.as_secs()).ok()
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// A day of the proleptic Gregorian calendar and its second.
struct Civil {
    year: i64,
    /// From 1.
    month: usize,
    /// From 1.
    day: i64,
    /// From 1.
    day_of_year: i64,
    /// Monday is 0.
    weekday: usize,
    second_of_day: i64,
}

fn is_leap(year: i64) -> bool {
    year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0)
}

/// Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`.
fn civil(seconds: i64) -> Civil {
    let days = seconds.div_euclid(86_400);
    let shifted = days + 719_468; // since 0000-03-01
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_from_march = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_from_march + 2) / 153;
    let day = day_from_march - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let day_of_year =
        if month <= 2 { day_from_march - 305 } else { day_from_march + 60 + i64::from(is_leap(year)) };
    Civil {
        year,
        month: month as usize,
        day,
        day_of_year,
        weekday: (days + 3).rem_euclid(7) as usize,
        second_of_day: seconds.rem_euclid(86_400),
    }
}

/// `strftime` in the C locale. A directive it does not know is an error that names it.
pub(crate) fn strftime(seconds: i64, format: &str) -> Result<String, String> {
    // Far outside what a calendar is asked; keeps the arithmetic above from overflowing.
    let when = civil(seconds.clamp(-1_000_000_000_000, 1_000_000_000_000));
    let (hour, minute, second) =
        (when.second_of_day / 3_600, when.second_of_day / 60 % 60, when.second_of_day % 60);
    let hour12 = (hour + 11) % 12 + 1;
    let (month, weekday) = (MONTHS[when.month - 1], WEEKDAYS[when.weekday]);
    let mut out = String::new();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        let mut directive = letters.next();
        // glibc's `%-d`: no leading zero.
        let plain = directive == Some('-');
        if plain {
            directive = letters.next();
        }
        let two = |number: i64| if plain { number.to_string() } else { format!("{number:02}") };
        out += &match directive {
            Some('Y') => when.year.to_string(),
            Some('y') => two(when.year.rem_euclid(100)),
            Some('m') => two(when.month as i64),
            Some('d') => two(when.day),
            Some('e') => format!("{:>2}", when.day),
            Some('j') if plain => when.day_of_year.to_string(),
            Some('j') => format!("{:03}", when.day_of_year),
            Some('B') => month.to_owned(),
            Some('b' | 'h') => month[..3].to_owned(),
            Some('A') => weekday.to_owned(),
            Some('a') => weekday[..3].to_owned(),
            Some('H') => two(hour),
            Some('I') => two(hour12),
            Some('M') => two(minute),
            Some('S') => two(second),
            Some('p') => if hour < 12 { "AM" } else { "PM" }.to_owned(),
            Some('F') => format!("{}-{:02}-{:02}", when.year, when.month, when.day),
            Some('T') => format!("{hour:02}:{minute:02}:{second:02}"),
            Some('D') => format!("{:02}/{:02}/{:02}", when.month, when.day, when.year.rem_euclid(100)),
            Some('R') => format!("{hour:02}:{minute:02}"),
            Some('Z') => "UTC".to_owned(),
            Some('z') => "+0000".to_owned(),
            Some('%') => "%".to_owned(),
            Some(other) => return Err(format!("strftime_now does not know the directive %{other}")),
            None => return Err("strftime_now: the format ends in %".to_owned()),
        };
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_python() {
        // datetime.fromtimestamp(n, timezone.utc).strftime("%Y-%m-%d %a %j %H:%M:%S")
        let cases = [
            (0, "1970-01-01 Thu 001 00:00:00"),
            (951_782_400, "2000-02-29 Tue 060 00:00:00"),
            (1_078_012_799, "2004-02-28 Sat 059 23:59:59"),
            (1_735_603_200, "2024-12-31 Tue 366 00:00:00"),
            (1_740_787_200, "2025-03-01 Sat 060 00:00:00"),
            (-1, "1969-12-31 Wed 365 23:59:59"),
            (4_107_542_400, "2100-03-01 Mon 060 00:00:00"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(strftime(seconds, "%Y-%m-%d %a %j %H:%M:%S").unwrap(), expected);
        }
    }

    #[test]
    fn directives() {
        let noon = 1_721_995_509; // 2024-07-26 12:05:09
        assert_eq!(strftime(noon, "%d %b %Y").unwrap(), "26 Jul 2024");
        assert_eq!(strftime(noon, "%A, %B %-d, %-I:%M %p %%").unwrap(), "Friday, July 26, 12:05 PM %");
        assert_eq!(strftime(noon, "%D %T %F %y").unwrap(), "07/26/24 12:05:09 2024-07-26 24");
        assert!(strftime(noon, "%Q").unwrap_err().contains("%Q"));
        assert!(strftime(noon, "100%").is_err());
        assert!(strftime(i64::MAX, "%Y").is_ok() && strftime(i64::MIN, "%c").is_err());
    }
}
