//! Who may use the host: tokens, and who one is.

use serde_json::json;

use super::super::operation::{Operation, json_of, reference};
use super::super::parts::in_path;
use crate::error::Code;

pub(super) const TAG: &str = "access";

pub(super) fn myself() -> Operation {
    Operation::new(TAG, "access", "Who the caller is, and what it may do").answers(
        200,
        "The role, and the token's name, if there is one.",
        json_of("Access"),
    )
}

pub(super) fn list() -> Operation {
    Operation::new(TAG, "list_tokens", "Every token, without its secret").answers(
        200,
        "All of them: there is no other page.",
        json_of("TokenList"),
    )
}

pub(super) fn create() -> Operation {
    Operation::new(TAG, "create_token", "Make a token")
        .says("Its secret is in this answer, and never again.")
        .body("What it is to be.", json_of("NewToken"))
        .answers_with(
            201,
            "The token, with its secret.",
            json_of("Token"),
            &["Location"],
        )
        .fails(&[
            Code::MalformedRequest,
            Code::UnsupportedMediaType,
            Code::RequestTimeout,
            Code::PayloadTooLarge,
            Code::InvalidInput,
        ])
}

pub(super) fn revoke() -> Operation {
    let id = json!({ "type": "string", "minLength": 1 });
    Operation::new(TAG, "revoke_token", "Take a token away")
        .takes(in_path("id", id, "Its id, or its name."))
        .answers(
            200,
            "The token, which is good for nothing any more.",
            json_of("Token"),
        )
        .fails(&[Code::MalformedRequest, Code::NotFound])
}

/// The schemas of this group.
pub(in super::super) fn schemas() -> serde_json::Value {
    use super::super::schemas::{count, object, or_null, text, words};
    let role = || words(crate::access::Role::ALL.map(crate::access::Role::as_str));
    let time = || or_null(json!({ "type": "string", "format": "date-time" }));
    let items = json!({ "type": "array", "items": reference("Token") });
    json!({
        "Role": role(),
        "Access": object("Who the caller is.", json!({
            "role": reference("Role"),
            "token": or_null(text("The name of its token.")),
            "needs_token": { "type": "boolean", "description": "Whether one is needed here." },
        })),
        "Token": object("A token.", json!({
            "id": text("Its id, which is part of it."),
            "name": text("Its name."),
            "role": reference("Role"),
            "created_at": { "type": "string", "format": "date-time" },
            "expires_at": time(),
            "rate": or_null(count("How many requests it may make a second; 0: as many as it likes; null: as configured.")),
            "token?": text("The whole of it, in the answer that has made it."),
        })),
        "TokenList": object("Every token.", json!({ "items": items, "next_cursor": { "type": "null" } })),
        "NewToken": {
            "type": "object",
            "description": "What a token is to be.",
            "properties": {
                "name": { "type": "string", "description": "One line, without spaces round it.", "minLength": 1, "maxLength": 64 },
                "role": reference("Role"),
                "expires_in": or_null(json!({ "type": "string", "description": "A duration.", "examples": ["90d", "12h"] })),
                "rate": or_null(json!({ "type": "integer", "minimum": 0, "maximum": 4_294_967_295_u32 })),
            },
            "required": ["name", "role"],
            "additionalProperties": false,
        },
    })
}
