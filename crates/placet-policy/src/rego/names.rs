//! What the modules of a load define and refer to: packages, functions, references, dependencies.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::{BTreeMap, BTreeSet};

use regorus::unstable::{AssignOp, Expr, Literal, Ref, Rule, RuleHead, Span};

use super::parse::{Parsed, head_reference, rule_name, static_path};
use super::walk::{Node, children, rule_children, walk, walk_expressions};

/// What all modules define together.
pub(super) struct Names {
    /// Path of each function, without `data`, to its number of arguments.
    functions: BTreeMap<Vec<String>, usize>,
    /// Package to the names of its rules.
    rules: BTreeMap<Vec<String>, BTreeSet<String>>,
}

/// What a call calls.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Callee {
    /// A function of a loaded module, by its path without `data`.
    Function(Vec<String>, usize),
    /// Anything else, by its dotted name: a builtin, or nothing.
    Builtin(String),
    /// A path below `data` where no function stands.
    Missing(String),
}

impl Names {
    pub(super) fn new<'a>(modules: impl IntoIterator<Item = &'a Parsed>) -> Self {
        let mut names = Self { functions: BTreeMap::new(), rules: BTreeMap::new() };
        for parsed in modules {
            let rules = names.rules.entry(parsed.package.clone()).or_default();
            for rule in &parsed.module.policy {
                rules.extend(rule_name(rule));
                if let Some((path, arity)) = function(rule) {
                    let mut full = parsed.package.clone();
                    full.extend(path);
                    names.functions.insert(full, arity);
                }
            }
        }
        names
    }

    /// Resolves the function expression of a call.
    pub(super) fn callee(&self, parsed: &Parsed, function: &Expr) -> Option<Callee> {
        let (path, _) = static_path(function)?;
        let (root, rest) = path.split_first()?;
        let mut local = parsed.package.clone();
        local.extend(path.iter().cloned());
        if let Some(arity) = self.functions.get(&local) {
            return Some(Callee::Function(local, *arity));
        }
        let full = if root == "data" {
            rest.to_vec()
        } else if let Some(import) = parsed.imports.get(root) {
            import.iter().skip(1).chain(rest).cloned().collect()
        } else {
            return Some(Callee::Builtin(path.join(".")));
        };
        Some(match self.functions.get(&full) {
            Some(arity) => Callee::Function(full, *arity),
            // An alias shadows a builtin's namespace only where it names a function.
            None if root == "data" => Callee::Missing(path.join(".")),
            None => Callee::Builtin(path.join(".")),
        })
    }

    /// The names of the functions, dotted, for suggestions.
    pub(super) fn function_names(&self) -> impl Iterator<Item = String> {
        self.functions.keys().map(|path| path.last().cloned().unwrap_or_default())
    }

    /// The paths below `data` that a rule refers to, without `data`. A dynamic part ends a path.
    pub(super) fn references(&self, parsed: &Parsed, rule: &Rule) -> BTreeSet<Vec<String>> {
        let mut found = BTreeSet::new();
        let locals = local_names(rule);
        let own = self.rules.get(&parsed.package);
        let mut visit = |expression: &Ref<Expr>| {
            let Some((path, _)) = static_path(expression) else { return };
            let Some((root, rest)) = path.split_first() else { return };
            if root == "data" {
                found.insert(rest.to_vec());
            } else if locals.contains(root) {
            } else if own.is_some_and(|rules| rules.contains(root)) {
                let mut full = parsed.package.clone();
                full.extend(path);
                found.insert(full);
            } else if let Some((first, import)) = parsed.imports.get(root).and_then(|path| path.split_first())
                && first == "data"
            {
                found.insert(import.iter().chain(rest).cloned().collect());
            }
        };
        for node in rule_children(rule) {
            let head = matches!(node, Node::Expression(expression) if expression == head_reference(rule));
            outermost(node, head, &mut visit);
        }
        found
    }
}

/// Visits every reference, but not the shorter ones that it starts with; a head's own name is none.
pub(super) fn outermost(node: Node<'_>, is_head: bool, visit: &mut dyn FnMut(&Ref<Expr>)) {
    if let Node::Expression(expression) = node
        && matches!(expression.as_ref(), Expr::Var { .. } | Expr::RefDot { .. } | Expr::RefBrack { .. })
    {
        if !is_head {
            visit(expression);
        }
        let mut part = expression;
        loop {
            match part.as_ref() {
                Expr::RefDot { refr, .. } => part = refr,
                Expr::RefBrack { refr, index, .. } => {
                    outermost(Node::Expression(index), false, visit);
                    part = refr;
                }
                Expr::Var { .. } => return,
                _ => return outermost(Node::Expression(part), false, visit),
            }
        }
    }
    children(node).into_iter().for_each(|child| outermost(child, false, visit));
}

fn function(rule: &Rule) -> Option<(Vec<String>, usize)> {
    match rule {
        Rule::Spec { head: RuleHead::Func { refr, args, .. }, .. } => {
            static_path(refr).map(|(path, _)| (path, args.len()))
        }
        Rule::Default { refr, args, .. } if !args.is_empty() => {
            static_path(refr).map(|(path, _)| (path, args.len()))
        }
        _ => None,
    }
}

/// Names bound inside a rule: they hide rules and imports of the same name.
pub(super) fn local_names(rule: &Rule) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    if let Rule::Spec { head: RuleHead::Func { args, .. }, .. } = rule {
        args.iter().for_each(|argument| variables(argument, &mut found));
    }
    walk(rule_children(rule), &mut |node| match node {
        Node::Expression(expression) => {
            if let Expr::AssignExpr { op: AssignOp::ColEq, lhs, .. } = expression.as_ref() {
                variables(lhs, &mut found);
            }
        }
        Node::Statement(statement) => match &statement.literal {
            Literal::SomeVars { vars, .. } => found.extend(vars.iter().map(|span| span.text().to_owned())),
            Literal::SomeIn { key, value, .. } => {
                key.iter().chain([value]).for_each(|pattern| variables(pattern, &mut found));
            }
            Literal::Every { key, value, .. } => {
                found.extend(key.iter().chain([value]).map(|span: &Span| span.text().to_owned()));
            }
            Literal::Expr { .. } | Literal::NotExpr { .. } => {}
        },
        Node::Query(_) => {}
    });
    found
}

fn variables(pattern: &Ref<Expr>, into: &mut BTreeSet<String>) {
    walk(vec![Node::Expression(pattern)], &mut |node| {
        if let Node::Expression(expression) = node
            && let Expr::Var { span, .. } = expression.as_ref()
        {
            into.insert(span.text().to_owned());
        }
    });
}

/// Every call below a rule: the whole call, the function expression, the number of arguments.
pub(super) fn calls(rule: &Rule) -> Vec<(&Ref<Expr>, &Ref<Expr>, usize)> {
    let mut found = Vec::new();
    walk_expressions(rule, &mut |expression| {
        if let Expr::Call { fcn, params, .. } = expression.as_ref() {
            found.push((expression, fcn, params.len()));
        }
    });
    found
}

/// Whether one path is a prefix of the other.
pub(super) fn overlaps(left: &[String], right: &[String]) -> bool {
    left.starts_with(right) || right.starts_with(left)
}
