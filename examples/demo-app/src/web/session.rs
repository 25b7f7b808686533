//! Sessions: a random id that only this application can have signed. Needs randomness.

use crate::sums::hexadecimal;
use anyhow::{Result, anyhow};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

/// Name of the cookie.
pub(crate) const COOKIE: &str = "session";
/// Shortest usable key, in bytes.
const SHORTEST_KEY: usize = 32;

/// What signs sessions. All replicas of the web page have the same.
#[derive(Clone, Debug)]
pub(crate) struct Sessions(hmac::Key);

// === impl Sessions ===

impl Sessions {
    /// Sessions signed with a secret.
    ///
    /// # Errors
    /// When it is too short.
    pub(crate) fn new(secret: &str) -> Result<Self> {
        if secret.len() < SHORTEST_KEY {
            return Err(anyhow!(
                "SESSION_KEY has fewer than {SHORTEST_KEY} characters; set it from the Secret `web`"
            ));
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())))
    }

    /// Value of the cookie of a new session.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub(crate) fn begin(&self) -> Result<String> {
        let id = random_id()?;
        Ok(format!("{id}.{}", hexadecimal(hmac::sign(&self.0, id.as_bytes()).as_ref())))
    }

    /// Whether one of the cookies of a request is a session of ours.
    pub(crate) fn admits(&self, cookies: &str) -> bool {
        let values = cookies.split(';').filter_map(|pair| pair.trim().split_once('='));
        values.filter(|(name, _)| *name == COOKIE).any(|(_, value)| self.signed(value).is_some())
    }

    fn signed(&self, value: &str) -> Option<()> {
        let (id, signature) = value.split_once('.')?;
        let digits = signature
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        let bytes: Vec<u8> = digits.collect::<Option<_>>()?;
        hmac::verify(&self.0, id.as_bytes(), &bytes).ok()
    }
}

/// 128 random bits in hexadecimal.
///
/// # Errors
/// When the system gives no random bytes.
pub(crate) fn random_id() -> Result<String> {
    let mut bytes = [0; 16];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_unspecified| anyhow!("the system gives no random bytes"))?;
    Ok(hexadecimal(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_signed_sessions_are_admitted() {
        let sessions = Sessions::new(&"k".repeat(64)).unwrap();
        let cookie = sessions.begin().unwrap();
        assert!(sessions.admits(&format!("session={cookie}")));
        assert!(sessions.admits(&format!("theme=dark; session=x.y; session={cookie}")));
        let other = Sessions::new(&"o".repeat(64)).unwrap();
        for foreign in [
            String::new(),
            "session=".to_owned(),
            "session=a.00".to_owned(),
            "session=a.ü".to_owned(),
            format!("sessions={cookie}"),
            format!("session=0{cookie}"),
            format!("session={}", other.begin().unwrap()),
        ] {
            assert!(!sessions.admits(&foreign), "{foreign}");
        }
        assert!(Sessions::new("short").unwrap_err().to_string().contains("SESSION_KEY"));
    }
}
