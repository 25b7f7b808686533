//! Health as Argo CD finds it: by a script in Lua 5.1, without the libraries that reach out.

use anyhow::{Context, Result, anyhow};
use mlua::serde::{LuaSerdeExt, SerializeOptions};
use mlua::{Lua, LuaOptions, StdLib, Table};
use serde_json::Value;

/// What a script says of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// One of Argo CD's words: Healthy, Progressing, Suspended, Degraded.
    pub status: String,
    /// Why, for people.
    pub message: String,
}

/// Runs a health script over an object.
///
/// # Errors
/// When the script fails, or does not answer with a status and a message.
pub fn health(script: &str, object: &Value) -> Result<Health> {
    run(script, object).map_err(|error| anyhow!("{error}")).context("the health script")
}

fn run(script: &str, object: &Value) -> mlua::Result<Health> {
    let lua = Lua::new_with(StdLib::TABLE | StdLib::STRING | StdLib::MATH, LuaOptions::default())?;
    // Argo CD gives absent fields as nil, and so do we.
    let options = SerializeOptions::new().serialize_none_to_null(false).serialize_unit_to_null(false);
    lua.globals().set("obj", lua.to_value_with(object, options)?)?;
    let answer: Table = lua.load(script).eval()?;
    Ok(Health { status: answer.get("status")?, message: answer.get("message")? })
}
