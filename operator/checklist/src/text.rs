//! Words and bounds for texts that end in a status; pure, needs neither client nor clock.

use tenantry_crds::blueprint::Party;

/// Longest reason a condition or an entry takes (the CRD's bound).
const REASON_LIMIT: usize = 64;
const ELLIPSIS: char = '…';

/// Cuts a text to at most `limit` bytes at a character boundary, marks the cut, and turns line breaks and other
/// control characters into spaces.
pub(crate) fn cut(text: &str, limit: usize) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let cleaned: String = text.chars().map(clean).collect();
    if cleaned.len() <= limit {
        return cleaned;
    }
    let room = limit.saturating_sub(ELLIPSIS.len_utf8());
    let mut out = String::with_capacity(limit);
    for c in cleaned.chars() {
        if out.len() + c.len_utf8() > room {
            break;
        }
        out.push(c);
    }
    if limit >= ELLIPSIS.len_utf8() {
        out.push(ELLIPSIS);
    }
    out
}

/// A reason that a condition accepts (letters only, a capital first), or the fallback when nothing is left of it.
pub(crate) fn word(reason: &str, fallback: &'static str) -> String {
    let letters: String = reason.chars().filter(char::is_ascii_alphabetic).take(REASON_LIMIT).collect();
    let mut chars = letters.chars();
    match chars.next() {
        Some(first) => std::iter::once(first.to_ascii_uppercase()).chain(chars).collect(),
        None => fallback.to_owned(),
    }
}

/// Who acts, in the middle of a sentence.
pub(crate) fn party(party: Party) -> &'static str {
    match party {
        Party::Provider => "provider",
        Party::Customer => "customer",
        Party::Partner => "partner",
    }
}

/// Joins names with commas and `and`, naming at most `most` of them.
pub(crate) fn list<S: AsRef<str>>(names: &[S], most: usize) -> String {
    let shown: Vec<&str> = names.iter().take(most).map(AsRef::as_ref).collect();
    let hidden = names.len().saturating_sub(shown.len());
    match (shown.split_last(), hidden) {
        (None, _) => String::new(),
        (Some((last, [])), 0) => (*last).to_owned(),
        (Some((last, rest)), 0) => format!("{} and {last}", rest.join(", ")),
        (Some(_), hidden) => format!("{} and {hidden} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_are_what_a_condition_accepts() {
        for (given, wanted) in [
            ("QuotaExceeded", "QuotaExceeded"),
            ("quota exceeded 3", "Quotaexceeded"),
            ("429", "Refused"),
            ("", "Refused"),
        ] {
            assert_eq!(word(given, "Refused"), wanted);
        }
    }

    #[test]
    fn lists_read_like_a_sentence() {
        assert_eq!(list::<&str>(&[], 3), "");
        assert_eq!(list(&["a"], 3), "a");
        assert_eq!(list(&["a", "b", "c"], 3), "a, b and c");
        assert_eq!(list(&["a", "b", "c", "d"], 2), "a, b and 2 more");
    }

    proptest! {
        #[test]
        fn a_cut_text_fits_and_is_a_prefix(text in "\\PC*", limit in 0_usize..80) {
            let short = cut(&text, limit);
            prop_assert!(short.len() <= limit);
            let kept = short.strip_suffix(ELLIPSIS).unwrap_or(&short);
            prop_assert!(text.starts_with(kept));
            prop_assert_eq!(cut(&short, limit), short);
        }
    }
}
