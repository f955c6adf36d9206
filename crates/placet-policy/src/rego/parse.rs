//! Reading one Rego file: which dialect it is written in, and its syntax tree.
//!
//! Nothing here knows what a policy means.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};

use regorus::PolicyLengthConfig;
use regorus::unstable::{
    Expr, Lexer, Module, Parser, Query, Ref, Rule, RuleHead, Source, Span, Token, TokenKind,
};

use super::spans::Spans;
use super::walk::{children, rule_children};
use crate::{Diagnostic, Position, SourceFile};

/// The dialect a Rego file was read in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dialect {
    /// Rego v1: `if` and `contains` are required.
    V1,
    /// Rego v0, as printed before OPA 1.0.
    V0,
    /// Rego v0 that uses `in`, `every`, `if` or `contains` without importing them.
    V0FutureKeywords,
}

impl Dialect {
    /// The name used in messages and listings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V0 => "v0",
            Self::V0FutureKeywords => "v0 with future.keywords",
        }
    }
}

/// The text limits of the interpreter, lifted: the loader bounds file sizes, not line lengths.
pub(super) const LENGTHS: PolicyLengthConfig = PolicyLengthConfig {
    max_col: NonZeroU32::MAX,
    max_file_bytes: NonZeroUsize::MAX,
    max_lines: NonZeroUsize::MAX,
};

const FUTURE_KEYWORDS: [&str; 4] = ["if", "in", "contains", "every"];

/// Deepest nesting of one expression, counted in syntax nodes.
const MAX_EXPRESSION_DEPTH: usize = 96;

/// Deepest nesting of lists, objects and bodies: the parser's time doubles with each level.
const MAX_BRACKET_DEPTH: usize = 14;

/// Longest chain of operators in one expression.
const MAX_OPERATOR_RUN: usize = 1000;

/// One file, parsed.
pub(super) struct Parsed {
    pub(super) file: SourceFile,
    pub(super) dialect: Dialect,
    pub(super) module: Module,
    /// The components of the package, without `data`.
    pub(super) package: Vec<String>,
    /// Alias to full path, first component `data` or `input`.
    pub(super) imports: BTreeMap<String, Vec<String>>,
    pub(super) spans: Spans,
}

impl Parsed {
    /// The package as it is written: `kitelogik.tool_call`.
    pub(super) fn package_name(&self) -> String {
        self.package.join(".")
    }
}

/// Where a span starts, as users count.
///
/// Counted from the offset: the line and column in the parser's spans of references are those of their last dot.
pub(super) fn position(span: &Span) -> Position {
    let text = span.source.contents();
    let (start, end) = (span.start as usize, span.end as usize);
    let quote = text.get(end..=end).filter(|quote| matches!(*quote, "\"" | "`"));
    // Spans of strings leave out the quotes.
    let is_string =
        quote.is_some() && text.get(..start).is_some_and(|before| before.ends_with(quote.unwrap_or(" ")));
    let before = text.get(..start - usize::from(is_string)).unwrap_or("");
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    let length = span.text().lines().next().unwrap_or("").chars().count() + 2 * usize::from(is_string);
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Position::new(number(line), number(column)).with_length(length)
}

/// The components of a static reference such as `data.a["b"].c`, or as many as are static.
///
/// The flag tells whether all of them were.
pub(super) fn static_path(expression: &Expr) -> Option<(Vec<String>, bool)> {
    let mut reversed = Vec::new();
    let mut node = expression;
    let root = loop {
        match node {
            Expr::Var { span, .. } => break span.text().to_owned(),
            Expr::RefDot { refr, field, .. } => {
                reversed.push(Some(field.0.text().to_owned()));
                node = refr;
            }
            Expr::RefBrack { refr, index, .. } => {
                reversed.push(match index.as_ref() {
                    Expr::String { value, .. } => value.as_string().ok().map(|text| text.to_string()),
                    _ => None,
                });
                node = refr;
            }
            _ => return None,
        }
    };
    let mut path = vec![root];
    for component in reversed.into_iter().rev() {
        match component {
            Some(component) => path.push(component),
            None => return Some((path, false)),
        }
    }
    Some((path, true))
}

/// The reference at the head of a rule.
pub(super) fn head_reference(rule: &Rule) -> &Ref<Expr> {
    match rule {
        Rule::Spec { head, .. } => match head {
            RuleHead::Compr { refr, .. } | RuleHead::Set { refr, .. } | RuleHead::Func { refr, .. } => refr,
        },
        Rule::Default { refr, .. } => refr,
    }
}

/// The first component of a rule's name: `decision` for `decision.allow := true`.
pub(super) fn rule_name(rule: &Rule) -> Option<String> {
    static_path(head_reference(rule)).and_then(|(path, _)| path.into_iter().next())
}

/// Parses a file in the first dialect that reads it.
///
/// # Errors
///
/// The error of the most plausible dialect, with its place.
pub(super) fn parse_file(file: &SourceFile) -> Result<Parsed, Box<Diagnostic>> {
    let source = Source::from_contents_with_limits(
        file.path.to_string(),
        file.text.to_string(),
        LENGTHS.max_file_bytes,
        LENGTHS.max_lines,
    )
    .map_err(|error| Box::new(syntax_error(file, &error.to_string())))?;
    let tokens = tokens(&source);
    if let Some((line, column)) = operator_run(&tokens) {
        let message = format!("more than {MAX_OPERATOR_RUN} operators in one expression");
        let at = Position::new(line, column);
        return Err(Box::new(
            Diagnostic::error("rego/too-deep", file, at, message).with_help("split it into several rules"),
        ));
    }
    if let Some((line, column)) = bracket_depth(&tokens) {
        let message = format!("brackets nest deeper than {MAX_BRACKET_DEPTH} levels");
        let at = Position::new(line, column);
        let found = Diagnostic::error("rego/too-deep", file, at, message);
        return Err(Box::new(found.with_help("give the inner parts rules of their own")));
    }
    let words = keywords_used(&tokens);
    let first_error = match parse_as(&source, Dialect::V1) {
        Ok(module) => return finish(file, Dialect::V1, module, &tokens),
        Err(error) => error,
    };
    let mut old_error = None;
    // An unimported `if` is a rule of its own to a v0 reader (`allow if { … }` would read as two rules, the first
    // unconditional), so plain v0 is tried only where no keyword stands bare.
    let order: &[Dialect] =
        if words.bare { &[Dialect::V0FutureKeywords] } else { &[Dialect::V0, Dialect::V0FutureKeywords] };
    for dialect in order {
        match parse_as(&source, *dialect) {
            Ok(module) => return finish(file, *dialect, module, &tokens),
            Err(error) => old_error = old_error.or(Some(error)),
        }
    }
    let error = if words.looks_v1 { first_error } else { old_error.unwrap_or(first_error) };
    Err(Box::new(syntax_error(file, &error)))
}

/// A module without rules whose file is the text of a query, so that a query is rewritten as a module is.
pub(super) fn query_module(text: &str) -> Result<(Parsed, Ref<Query>), EnginePlace> {
    let place = |error: String| EnginePlace::read(&error);
    let empty = Source::from_contents("<query>".to_owned(), "package placet_query".to_owned())
        .map_err(|error| place(error.to_string()))?;
    let module = parse_as(&empty, Dialect::V1).map_err(place)?;
    let source = Source::from_contents_with_limits(
        "<query>".to_owned(),
        text.to_owned(),
        LENGTHS.max_file_bytes,
        LENGTHS.max_lines,
    )
    .map_err(|error| place(error.to_string()))?;
    let tokens = tokens(&source);
    if operator_run(&tokens).or_else(|| bracket_depth(&tokens)).is_some() {
        return Err(EnginePlace::only("the query has too many operators or nested brackets"));
    }
    let mut parser = Parser::new(&source).map_err(|error| place(error.to_string()))?;
    parser.set_max_col(LENGTHS.max_col);
    parser.enable_rego_v1().map_err(|error| place(error.to_string()))?;
    let query = parser.parse_user_query().map_err(|error| place(error.to_string()))?;
    let package = vec!["placet_query".to_owned()];
    let file = SourceFile::new("<query>", text);
    Ok((
        Parsed {
            file,
            dialect: Dialect::V1,
            module,
            package,
            imports: BTreeMap::new(),
            spans: Spans::new(&tokens),
        },
        query,
    ))
}

fn finish(
    file: &SourceFile,
    dialect: Dialect,
    module: Module,
    tokens: &[Token],
) -> Result<Parsed, Box<Diagnostic>> {
    let package = package_path(&module);
    let package = package.ok_or_else(|| {
        let at = position(&module.package.span);
        Box::new(Diagnostic::error(
            "rego/syntax",
            file,
            at,
            "the package name must be made of constant names",
        ))
    })?;
    for rule in &module.policy {
        if let Some(span) = too_deep(rule) {
            let message = format!("this expression nests deeper than {MAX_EXPRESSION_DEPTH} levels");
            return Err(Box::new(
                Diagnostic::error("rego/too-deep", file, position(&span), message)
                    .with_help("split it into several rules"),
            ));
        }
    }
    let imports = imports(&module);
    Ok(Parsed { file: file.clone(), dialect, module, package, imports, spans: Spans::new(tokens) })
}

fn package_path(module: &Module) -> Option<Vec<String>> {
    static_path(&module.package.refr).and_then(|(path, complete)| complete.then_some(path))
}

fn imports(module: &Module) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    for import in &module.imports {
        let Some((path, true)) = static_path(&import.refr) else { continue };
        if !matches!(path.first().map(String::as_str), Some("data" | "input")) {
            continue;
        }
        let alias = match &import.r#as {
            Some(span) => span.text().to_owned(),
            None => path.last().cloned().unwrap_or_default(),
        };
        found.insert(alias, path);
    }
    found
}

/// Finds an expression past the depth limit without recursing, so that any text can be measured safely.
fn too_deep(rule: &Rule) -> Option<Span> {
    let mut pending: Vec<_> = rule_children(rule).into_iter().map(|child| (child, 1_usize)).collect();
    while let Some((child, depth)) = pending.pop() {
        if depth > MAX_EXPRESSION_DEPTH {
            return Some(child.span().clone());
        }
        pending.extend(children(child).into_iter().map(|inner| (inner, depth + 1)));
    }
    None
}

fn parse_as(source: &Source, dialect: Dialect) -> Result<Module, String> {
    let parse = || -> Result<Module, String> {
        let mut parser = Parser::new(source).map_err(|error| error.to_string())?;
        parser.set_max_col(LENGTHS.max_col);
        match dialect {
            Dialect::V1 => parser.enable_rego_v1().map_err(|error| error.to_string())?,
            Dialect::V0 => {}
            Dialect::V0FutureKeywords => {
                for keyword in FUTURE_KEYWORDS {
                    parser.set_future_keyword(keyword, &None).map_err(|error| error.to_string())?;
                }
            }
        }
        parser.parse().map_err(|error| error.to_string())
    };
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(parse))
        .unwrap_or_else(|_| Err("error: the Rego parser stopped on this text".to_owned()))
}

struct Words {
    /// A future keyword stands where a v0 reader without imports would take it for a name.
    bare: bool,
    /// The text uses what only v1 writers use.
    looks_v1: bool,
}

fn tokens(source: &Source) -> Vec<Token> {
    let mut lexer = Lexer::new(source);
    lexer.set_max_col(LENGTHS.max_col);
    let mut found = Vec::new();
    while let Ok(token) = lexer.next_token() {
        if token.0 == TokenKind::Eof {
            break;
        }
        found.push(token);
    }
    found
}

/// Finds an operator chain long enough that the tree it makes could not be dropped on a small stack.
fn operator_run(tokens: &[Token]) -> Option<(u32, u32)> {
    let is_operator = |token: &Token| {
        matches!(
            token.1.text(),
            "+" | "-"
                | "*"
                | "/"
                | "%"
                | "&"
                | "|"
                | "=="
                | "!="
                | "<"
                | "<="
                | ">"
                | ">="
                | "="
                | ":="
                | "in"
        )
    };
    let mut run = 0;
    let mut before: Option<&Token> = None;
    for token in tokens {
        let new_line = before.is_some_and(|last| last.1.line != token.1.line && !is_operator(last));
        if matches!(token.1.text(), ";" | "{" | "}") || (new_line && !is_operator(token)) {
            run = 0;
        }
        run += usize::from(is_operator(token));
        if run > MAX_OPERATOR_RUN {
            return Some((token.1.line, token.1.col));
        }
        before = Some(token);
    }
    None
}

/// Finds the bracket that nests too deep.
fn bracket_depth(tokens: &[Token]) -> Option<(u32, u32)> {
    let mut depth = 0_usize;
    for Token(_, span) in tokens.iter().filter(|token| token.0 == TokenKind::Symbol) {
        match span.text() {
            "[" | "{" => depth += 1,
            "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_BRACKET_DEPTH {
            return Some((span.line, span.col));
        }
    }
    None
}

fn keywords_used(tokens: &[Token]) -> Words {
    let mut words = Words { bare: false, looks_v1: false };
    let mut imported = Vec::new();
    let text = |index: usize| tokens.get(index).map_or("", |token| token.1.text());
    for (index, Token(kind, span)) in tokens.iter().enumerate() {
        let word = span.text();
        let after_dot = index > 0 && text(index - 1) == ".";
        if word == "import" && text(index + 1) == "rego" && text(index + 3) == "v1" {
            words.looks_v1 = true;
            imported.extend(FUTURE_KEYWORDS);
        }
        if word == "import" && text(index + 1) == "future" {
            match FUTURE_KEYWORDS.iter().find(|keyword| text(index + 5) == **keyword) {
                Some(keyword) if text(index + 4) == "." => imported.push(keyword),
                _ => imported.extend(FUTURE_KEYWORDS),
            }
        }
        if *kind != TokenKind::Ident || after_dot || !FUTURE_KEYWORDS.contains(&word) {
            continue;
        }
        if word == "contains" && text(index + 1) == "(" {
            continue;
        }
        words.looks_v1 |= matches!(word, "if" | "contains");
        words.bare |= !imported.contains(&word);
    }
    words
}

/// Turns the interpreter's error text (place, excerpt, `error: message`) into a finding.
pub(super) fn syntax_error(file: &SourceFile, text: &str) -> Diagnostic {
    let place = EnginePlace::read(text);
    Diagnostic::error("rego/syntax", file, Position::new(place.line, place.column), place.message)
}

/// The place and the message in an error of the interpreter.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EnginePlace {
    pub(super) file: Option<String>,
    pub(super) line: u32,
    pub(super) column: u32,
    pub(super) message: String,
}

impl EnginePlace {
    /// A message without a place.
    pub(super) fn only(message: &str) -> Self {
        Self { file: None, line: 0, column: 0, message: message.to_owned() }
    }

    /// Reads `--> file:line:column` and `error: message`; what is missing stays empty.
    pub(super) fn read(text: &str) -> Self {
        let mut place = Self { file: None, line: 0, column: 0, message: String::new() };
        if let Some(arrow) = text.lines().find_map(|line| line.trim_start().strip_prefix("--> ")) {
            let mut parts = arrow.rsplitn(3, ':');
            place.column = parts.next().and_then(|part| part.trim().parse().ok()).unwrap_or(0);
            place.line = parts.next().and_then(|part| part.parse().ok()).unwrap_or(0);
            place.file = parts.next().map(str::to_owned);
        }
        let message = text.split_once("error: ").map_or(text, |(_, message)| message);
        place.message = message.lines().next().unwrap_or("").trim().to_owned();
        place
    }
}
