//! The page as text. Needs nothing.

use crate::config::Settings;
use crate::table::Table;

/// What the page shows.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    pub(crate) settings: &'a Settings,
    /// Language of the page, as in HTML's `lang`.
    pub(crate) language: &'a str,
    pub(crate) welcome: &'a str,
    /// People who may sign in.
    pub(crate) people: usize,
    pub(crate) tables: &'a [(String, Table)],
}

// === impl Page ===

impl Page<'_> {
    /// The page as HTML.
    pub(crate) fn html(&self) -> String {
        let settings = self.settings;
        let company = escape(&settings.company.name);
        let hosts: Vec<String> = settings.hosts.iter().map(|host| escape(host)).collect();
        let facts = [
            ("Country", escape(&settings.company.country)),
            ("Plan", escape(&settings.plan)),
            ("Edition", escape(&settings.edition)),
            ("Version", escape(&settings.version)),
            ("Addresses", hosts.join(", ")),
            ("Seats taken", format!("{} of {}", self.people, settings.seats)),
            ("First month of the fiscal year", settings.fiscal_year_start.to_string()),
        ];
        let facts: String =
            facts.iter().map(|(term, fact)| format!("<dt>{term}</dt><dd>{fact}</dd>\n")).collect();
        let rows = |(name, table): &(String, Table)| {
            format!("<tr><td>{}</td><td>{}</td></tr>\n", escape(name), table.rows)
        };
        let tables: String = self.tables.iter().map(rows).collect();
        format!(
            "<!doctype html>\n<html lang=\"{}\">\n<head><meta charset=\"utf-8\"><title>{company}</title></head>\n<body>\n\
             <h1>{company}</h1>\n<pre>{}</pre>\n<dl>\n{facts}</dl>\n\
             <table>\n<tr><th>Table</th><th>Rows</th></tr>\n{tables}</table>\n</body>\n</html>\n",
            escape(self.language),
            escape(self.welcome),
        )
    }
}

/// The language of a locale: `de` of `de_DE.UTF-8`.
pub(crate) fn language(locale: &str) -> String {
    let language: String = locale.chars().take_while(char::is_ascii_alphabetic).collect();
    if language.len() < 2 || language == "POSIX" { "en".to_owned() } else { language.to_ascii_lowercase() }
}

/// Text as it stands in HTML, in elements and in quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Company;

    #[test]
    fn a_customers_text_stays_text() {
        let settings = Settings {
            company: Company { name: "Ça & <script>\"x'".to_owned(), country: "TR".to_owned() },
            plan: "Gold".to_owned(),
            version: "4.2.1".to_owned(),
            edition: "trade".to_owned(),
            fiscal_year_start: 4,
            hosts: vec!["erp.acme.example".to_owned()],
            seats: 100,
        };
        let table =
            Table { bucket: "x".parse().unwrap(), columns: vec![], rows: 12, checksum: String::new() };
        let page = Page {
            settings: &settings,
            language: "tr",
            welcome: "</pre>",
            people: 3,
            tables: &[("customers".to_owned(), table)],
        };
        let html = page.html();
        for part in [
            "<h1>Ça &amp; &lt;script&gt;&quot;x&#39;</h1>",
            "<html lang=\"tr\">",
            "<pre>&lt;/pre&gt;</pre>",
            "<dd>Gold</dd>",
            "<dd>4.2.1</dd>",
            "<dd>3 of 100</dd>",
            "<td>customers</td><td>12</td>",
        ] {
            assert!(html.contains(part), "{part} is not in {html}");
        }
    }

    #[test]
    fn languages_come_from_locales() {
        for (locale, wanted) in
            [("de", "de"), ("fr_FR.UTF-8", "fr"), ("C", "en"), ("POSIX", "en"), ("", "en")]
        {
            assert_eq!(language(locale), wanted, "{locale}");
        }
    }
}
