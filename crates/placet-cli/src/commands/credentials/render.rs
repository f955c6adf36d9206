//! Chains as people and programs read them.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt::Write as _;

use placet::trust::credentials::authority::{Authority, AuthorityError, Change, Tools, diff};
use placet::trust::credentials::token::Claimed;
use serde_json::{Value, json};

use crate::moment;
use crate::paint::{BOLD, DIM, Paint, RED, visible_line};

/// Every token with what it gives; from the second on, how it differs from the one before.
pub(super) fn in_json(claimed: &[Claimed]) -> Result<Vec<Value>, AuthorityError> {
    let mut above: Option<&Authority> = None;
    let mut tokens = Vec::new();
    for one in claimed {
        let lines = above.map(|above| diff(above, &one.authority)).unwrap_or_default();
        let widened = lines.iter().any(|line| line.change == Change::Widened);
        let changes: Vec<String> = lines.iter().map(ToString::to_string).collect();
        above = Some(&one.authority);
        tokens.push(json!({
            "credential": one.id, "depth": one.depth, "issuer": one.issuer, "issuer_key": one.signer,
            "session": one.identity.session, "tenant": one.identity.tenant, "agent": one.identity.agent,
            "role": one.identity.role, "holder": one.holder.to_string(), "issued": moment::exact(one.issued),
            "expires": moment::exact(one.authority.expires), "max_depth": one.authority.max_depth,
            "authority": one.authority.details()?, "changes": changes, "exceeds_parent": widened,
        }));
    }
    Ok(tokens)
}

pub(super) fn text(claimed: &[Claimed], paint: Paint) -> String {
    let mut out = String::new();
    let mut above: Option<&Authority> = None;
    for one in claimed {
        let who = [
            Some(format!("session {}", one.identity.session)),
            one.identity.agent.as_ref().map(|agent| format!("agent {agent}")),
            one.identity.tenant.as_ref().map(|tenant| format!("tenant {tenant}")),
            one.identity.role.as_ref().map(|role| format!("role {role}")),
        ];
        let who = who.into_iter().flatten().collect::<Vec<_>>().join("  ");
        let id = paint.paint(BOLD, &visible_line(&one.id.0));
        let _ = writeln!(out, "{}  {id}  {}", one.depth, visible_line(&who));
        match above {
            None => whole(&mut out, one, paint),
            Some(above) => changes(&mut out, above, &one.authority, paint),
        }
        fact(&mut out, "holder", &one.holder.to_string(), paint);
        above = Some(&one.authority);
    }
    out
}

fn fact(out: &mut String, name: &str, text: &str, paint: Paint) {
    let _ = writeln!(out, "   {} {}", paint.paint(DIM, &format!("{name:<9}")), visible_line(text));
}

/// All that a root gives.
fn whole(out: &mut String, one: &Claimed, paint: Paint) {
    let authority = &one.authority;
    let scopes: Vec<&str> = authority.scopes.iter().map(AsRef::as_ref).collect();
    fact(out, "issuer", &one.issuer, paint);
    fact(out, "scopes", &scopes.join(", "), paint);
    match &authority.tools {
        Tools::Any => fact(out, "tools", "any, as policies decide", paint),
        Tools::Only(tools) => {
            for (name, limit) in tools {
                let mut limits: Vec<String> = limit
                    .arguments
                    .iter()
                    .map(|(argument, limit)| {
                        let absent = if limit.optional { "absent or " } else { "" };
                        format!("{argument}: {absent}{}", limit.constraint)
                    })
                    .collect();
                limits.extend(limit.open.then(|| "other arguments: anything".to_owned()));
                limits.extend(limit.calls.as_ref().map(|calls| format!("called {calls}")));
                fact(out, "tool", &format!("{name}  ({})", limits.join("; ")), paint);
            }
        }
    }
    for (name, limit) in &authority.budgets {
        fact(out, "budget", &format!("{name} {limit}"), paint);
    }
    let depth = format!("{} more delegations at most", authority.max_depth);
    fact(out, "depth", &depth, paint);
    let life = format!("{} to {}", moment::short(one.issued), moment::short(authority.expires));
    fact(out, "valid", &life, paint);
}

/// How a token differs from the one before.
fn changes(out: &mut String, above: &Authority, own: &Authority, paint: Paint) {
    let lines = diff(above, own);
    if lines.is_empty() {
        fact(out, "same", "as the token before", paint);
    }
    for line in lines {
        let text = visible_line(&format!("{}: {} -> {}", line.what, line.parent, line.child));
        match line.change {
            Change::Narrowed => fact(out, "narrowed", &text, paint),
            Change::Widened => {
                let _ = writeln!(out, "   {} {text}", paint.paint(RED, "WIDENED  "));
            }
        }
    }
}
