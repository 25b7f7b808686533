//! Languages that documents are written in: words, numbers and dates, as data. Pure.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use serde::Deserialize;
use thiserror::Error;

/// A language that there are texts in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Language {
    /// English.
    #[default]
    En,
    /// German.
    De,
}

/// A language that there are no texts in.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("there are no texts in the language {text:?}: use one of {}", Language::ALL.map(Language::code).join(", "))]
pub struct UnknownLanguage {
    text: String,
}

/// The words of a language, and how it writes numbers and days.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Words {
    decimal: String,
    group: String,
    date: String,
    pub(crate) invoice: String,
    pub(crate) credit_note: String,
    pub(crate) draft: String,
    pub(crate) statement: String,
    pub(crate) issued: String,
    pub(crate) due: String,
    pub(crate) account: String,
    pub(crate) buyer: String,
    pub(crate) vat_id: String,
    pub(crate) registration: String,
    pub(crate) charge: String,
    pub(crate) period: String,
    pub(crate) quantity: String,
    pub(crate) reduction: String,
    pub(crate) tax_rate: String,
    pub(crate) net: String,
    pub(crate) to_day: String,
    pub(crate) corrects: String,
    pub(crate) recurring: String,
    pub(crate) one_time: String,
    pub(crate) usage: String,
    pub(crate) true_up: String,
    pub(crate) claw_back: String,
    pub(crate) credit: String,
    pub(crate) adjustment: String,
    pub(crate) sum: String,
    pub(crate) tax: String,
    pub(crate) of: String,
    pub(crate) gross: String,
    pub(crate) drawn: String,
    pub(crate) surplus: String,
    pub(crate) payable: String,
    pub(crate) pay_by: String,
    pub(crate) nothing_to_pay: String,
    #[serde(rename = "reasonAE")]
    reason_ae: String,
    reason_e: String,
    reason_g: String,
    reason_k: String,
    reason_o: String,
    reason_z: String,
    pub(crate) from: String,
    pub(crate) until: String,
    pub(crate) document: String,
    pub(crate) tenants: String,
    pub(crate) tenant: String,
    pub(crate) empty: String,
}

// === impl Language ===

impl Language {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::En, Self::De];

    /// Its code of ISO 639-1.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::De => "de",
        }
    }

    /// Its words.
    pub(crate) fn words(self) -> Result<Words, serde_json::Error> {
        serde_json::from_str(match self {
            Self::En => include_str!("texts/en.json"),
            Self::De => include_str!("texts/de.json"),
        })
    }
}

impl fmt::Display for Language {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.code())
    }
}

impl FromStr for Language {
    type Err = UnknownLanguage;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|language| language.code() == text);
        known.ok_or_else(|| UnknownLanguage { text: text.to_owned() })
    }
}

// === impl Words ===

impl Words {
    /// A decimal as the language writes it. What is no decimal stays as it is.
    pub(crate) fn amount(&self, decimal: &str) -> String {
        let (sign, unsigned) = match decimal.strip_prefix('-') {
            // A true minus sign: a hyphen may be taken for a line break.
            Some(unsigned) => ("\u{2212}", unsigned),
            None => ("", decimal),
        };
        let (whole, part) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        if whole.is_empty() || !whole.bytes().chain(part.bytes()).all(|byte| byte.is_ascii_digit()) {
            return decimal.to_owned();
        }
        let mut grouped = String::new();
        for (place, digit) in whole.chars().enumerate() {
            if place > 0 && (whole.len() - place).is_multiple_of(3) {
                grouped.push_str(&self.group);
            }
            grouped.push(digit);
        }
        let point = if part.is_empty() { "" } else { &self.decimal };
        format!("{sign}{grouped}{point}{part}")
    }

    /// A day as the language writes it.
    pub(crate) fn day(&self, day: Date) -> String {
        day.strftime(&self.date).to_string()
    }

    /// Why nothing is taxed, by the category of EN 16931, where the issuer says no other reason. Nothing for what is taxed.
    pub(crate) fn reason(&self, category: &str) -> Option<&str> {
        match category {
            "AE" => Some(&self.reason_ae),
            "E" => Some(&self.reason_e),
            "G" => Some(&self.reason_g),
            "K" => Some(&self.reason_k),
            "O" => Some(&self.reason_o),
            "Z" => Some(&self.reason_z),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_has_every_word() {
        for language in Language::ALL {
            let words = language.words().unwrap();
            assert!(!words.invoice.is_empty() && words.reason("AE").is_some(), "{language}");
            assert_eq!(language.code().parse(), Ok(language));
        }
        let refused = "xx".parse::<Language>().unwrap_err().to_string();
        assert_eq!(refused, "there are no texts in the language \"xx\": use one of en, de");
    }

    #[test]
    fn numbers_and_days_are_written_as_people_write_them() {
        let [english, german] = Language::ALL.map(|language| language.words().unwrap());
        for (decimal, in_english, in_german) in [
            ("0.05", "0.05", "0,05"),
            ("999", "999", "999"),
            ("1234567.80", "1,234,567.80", "1.234.567,80"),
            ("-1000.00", "\u{2212}1,000.00", "\u{2212}1.000,00"),
            ("each", "each", "each"),
        ] {
            assert_eq!(english.amount(decimal), in_english);
            assert_eq!(german.amount(decimal), in_german);
        }
        let day = "2026-12-01".parse().unwrap();
        assert_eq!((english.day(day), german.day(day)), ("2026-12-01".to_owned(), "01.12.2026".to_owned()));
    }
}
