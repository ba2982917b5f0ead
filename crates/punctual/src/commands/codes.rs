//! Error codes: the pages of docs/errors, compiled in. `punctual explain TRG004` prints one.

/// The pages by code, sorted.
pub const PAGES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/error_pages.rs"));

/// The page of `code` (in any case), as Markdown; `None` if there is no such code.
pub fn page(code: &str) -> Option<&'static str> {
    let code = code.to_ascii_uppercase();
    let at = PAGES.binary_search_by(|(known, _)| (*known).cmp(code.as_str())).ok()?;
    Some(PAGES[at].1)
}

/// Whether `text` looks like an error code: three letters, three digits.
pub fn is_code(text: &str) -> bool {
    let (letters, digits) = text.as_bytes().split_at_checked(3).unwrap_or_default();
    digits.len() == 3 && letters.iter().all(u8::is_ascii_alphabetic) && digits.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_found_by_its_code_and_has_its_title() {
        for (code, text) in PAGES {
            assert!(is_code(code), "docs/errors/{code}.md is not named by a code");
            assert!(text.starts_with(&format!("# {code}: ")), "{code} has another title");
            assert_eq!(page(&code.to_lowercase()), Some(*text));
        }
    }

    #[test]
    fn what_is_no_code_has_no_page() {
        assert_eq!(page("TRG999"), None);
        assert!(!is_code("@daily") && !is_code("TRG0004") && !is_code("1 2 3 "));
    }
}
