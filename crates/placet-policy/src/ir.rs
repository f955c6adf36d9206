//! The intermediate form that every YAML rule lowers to: typed field slots, three-valued tests, rules.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use placet_types::{Field, ReviewerGroup, RiskTier, RuleRef};
use smol_str::SmolStr;

use crate::clock::TimeWindow;
use crate::glob::Glob;
use crate::reading;
use crate::voice::Effect;

/// The truth of a condition. `any` is the maximum, `all` the minimum, `not unknown` is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Truth {
    /// It does not hold.
    False,
    /// A value was missing, null, NaN or of the wrong type, or the two readings of a text disagree.
    Unknown,
    /// It holds.
    True,
}

impl Truth {
    /// The three-valued negation.
    #[must_use]
    pub fn negate(self) -> Self {
        match self {
            Self::False => Self::True,
            Self::Unknown => Self::Unknown,
            Self::True => Self::False,
        }
    }

    /// True or false from a boolean.
    #[must_use]
    pub fn of(flag: bool) -> Self {
        if flag { Self::True } else { Self::False }
    }

    /// Two readings of one text: where they disagree, the truth is unknown.
    #[must_use]
    pub fn of_readings(raw: bool, normal: bool) -> Self {
        if raw == normal { Self::of(raw) } else { Self::Unknown }
    }
}

/// Where a value stands in the event document.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path {
    /// The field of the document.
    pub field: Field,
    /// Keys below that field, for open objects such as `args`.
    pub keys: Box<[SmolStr]>,
}

impl Path {
    /// A whole field.
    #[must_use]
    pub fn of(field: Field) -> Self {
        Self { field, keys: Box::default() }
    }

    /// Whether one of the two leads to the other, or into it.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        let common = self.keys.len().min(other.keys.len());
        self.field == other.field && self.keys.get(..common) == other.keys.get(..common)
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.field.path())?;
        self.keys.iter().try_for_each(|key| write!(out, ".{key}"))
    }
}

/// What a test looks at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A value of the document.
    Path(Path),
    /// Keys below the element that the nearest `some` or `every` stands at; none for the element itself.
    Element(Box<[SmolStr]>),
}

/// A text literal with its normal form, made once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Text {
    /// As written.
    pub raw: SmolStr,
    /// Its normal form.
    pub normal: SmolStr,
}

impl Text {
    /// A literal that stands for a whole text.
    #[must_use]
    pub fn whole(raw: &str) -> Self {
        Self { raw: raw.into(), normal: reading::normal_form(raw).as_ref().into() }
    }

    /// A literal that stands for a part of a text.
    #[must_use]
    pub fn fragment(raw: &str) -> Self {
        Self { raw: raw.into(), normal: reading::normal_fragment(raw).into() }
    }
}

/// A scalar literal.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// A text.
    Text(Text),
    /// A number.
    Number(f64),
    /// A boolean.
    Bool(bool),
}

/// The right side of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// A literal.
    Literal(Literal),
    /// Another value of the document.
    Path(Path),
}

/// The right side of a membership test.
#[derive(Debug, Clone, PartialEq)]
pub enum Members {
    /// Literals; never empty.
    Literals(Vec<Literal>),
    /// A list of the document.
    Path(Path),
}

/// An order comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Greater.
    Gt,
    /// Greater or equal.
    Gte,
    /// Less.
    Lt,
    /// Less or equal.
    Lte,
}

impl Order {
    /// Whether an ordering satisfies the comparison.
    #[must_use]
    pub fn holds(self, ordering: std::cmp::Ordering) -> bool {
        match self {
            Self::Gt => ordering.is_gt(),
            Self::Gte => ordering.is_ge(),
            Self::Lt => ordering.is_lt(),
            Self::Lte => ordering.is_le(),
        }
    }

    /// Whether a greater number meets the comparison wherever a smaller one does.
    #[must_use]
    pub fn is_lower_bound(self) -> bool {
        matches!(self, Self::Gt | Self::Gte)
    }

    /// The operator as written in policies.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Gt => "gt",
            Self::Gte => "gte",
            Self::Lt => "lt",
            Self::Lte => "lte",
        }
    }
}

/// What a collection or a text is asked to contain.
#[derive(Debug, Clone, PartialEq)]
pub struct Contained {
    /// As an element of a list.
    pub whole: Literal,
    /// As a part of a text; only for texts.
    pub part: Option<Text>,
}

impl Contained {
    /// Both roles of a literal.
    #[must_use]
    pub fn new(whole: Literal) -> Self {
        let part = match &whole {
            Literal::Text(text) => Some(Text::fragment(&text.raw)),
            Literal::Number(_) | Literal::Bool(_) => None,
        };
        Self { whole, part }
    }
}

/// What a test asks of its subject.
#[derive(Debug, Clone)]
pub enum Op {
    /// An order comparison of numbers or of texts.
    Order(Order, Operand),
    /// Equality of scalars of one type.
    Eq(Operand),
    /// Membership of a scalar in a list.
    In(Members),
    /// A substring of a text or an element of a list.
    Contains(Contained),
    /// A prefix of a text.
    StartsWith(Text),
    /// A suffix of a text.
    EndsWith(Text),
    /// A glob over a whole text.
    Glob(Arc<Glob>),
    /// A regular expression found anywhere in a text.
    Matches(Arc<regex::Regex>),
    /// Presence: two-valued, null counts as absent.
    Exists(bool),
    /// Every element of a list is in another list.
    SubsetOf(Members),
    /// The length of a list or object.
    Count(Order, f64),
    /// The event's time of day in a zone.
    Time(Arc<TimeWindow>),
}

/// One test of one subject.
#[derive(Debug, Clone)]
pub struct Test {
    /// What is looked at.
    pub subject: Subject,
    /// What is asked.
    pub op: Op,
}

/// A condition.
#[derive(Debug, Clone)]
pub enum Expr {
    /// The minimum; true when empty.
    All(Vec<Expr>),
    /// The maximum; never empty.
    Any(Vec<Expr>),
    /// The negation.
    Not(Box<Expr>),
    /// A test.
    Test(Test),
    /// The maximum over the elements of a list; false when it is empty, unknown when it is missing.
    Some(Subject, Box<Expr>),
    /// The minimum over the elements of a list; unknown when it is empty or missing.
    Every(Subject, Box<Expr>),
    /// How many elements of a list meet a condition; unknown where those of unknown truth would decide.
    CountOf(Subject, Box<Expr>, Order, f64),
}

impl Expr {
    /// Every path of the document that the condition looks at, each once, in order.
    #[must_use]
    pub fn paths(&self) -> Vec<&Path> {
        let mut paths = Vec::new();
        self.collect_paths(&mut paths);
        let mut seen = std::collections::HashSet::new();
        paths.retain(|path| seen.insert(*path));
        paths
    }

    fn collect_paths<'x>(&'x self, paths: &mut Vec<&'x Path>) {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.collect_paths(paths)),
            Self::Not(part) => part.collect_paths(paths),
            Self::Some(subject, part) | Self::Every(subject, part) | Self::CountOf(subject, part, ..) => {
                subject.collect_path(paths);
                part.collect_paths(paths);
            }
            Self::Test(test) => {
                test.subject.collect_path(paths);
                match &test.op {
                    Op::Order(_, Operand::Path(path)) | Op::Eq(Operand::Path(path)) => paths.push(path),
                    Op::In(Members::Path(path)) | Op::SubsetOf(Members::Path(path)) => paths.push(path),
                    _ => {}
                }
            }
        }
    }
}

impl Subject {
    fn collect_path<'x>(&'x self, paths: &mut Vec<&'x Path>) {
        if let Self::Path(path) = self {
            paths.push(path);
        }
    }
}

/// One rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its name and place.
    pub reference: Arc<RuleRef>,
    /// When it fires.
    pub when: Expr,
    /// What it says.
    pub effect: Effect,
    /// The author's reason; may be empty.
    pub reason: Arc<str>,
    /// The tier it states.
    pub risk_tier: Option<RiskTier>,
    /// Who may decide an escalation.
    pub reviewers: Vec<ReviewerGroup>,
    /// The values its condition looks at, with the names operators see.
    pub looks_at: Vec<(Path, Arc<str>)>,
}

impl Rule {
    /// Whether the rule restricts: it then fires unless its condition is false, a permitting one only on true.
    #[must_use]
    pub fn restricts(&self) -> bool {
        self.effect > Effect::Allow
    }

    /// Whether the rule fires at this truth of its condition.
    #[must_use]
    pub fn fires(&self, truth: Truth) -> bool {
        truth == Truth::True || (truth == Truth::Unknown && self.restricts())
    }
}

/// How the rules of one unit speak together.
#[derive(Debug, Clone)]
pub enum UnitKind {
    /// Every rule that fires speaks.
    Rules,
    /// The first true rule speaks, and every unknown restricting rule before it.
    Match {
        /// What is said when no rule fires.
        default: DefaultVerdict,
    },
}

/// The default of a Match unit.
#[derive(Debug, Clone)]
pub struct DefaultVerdict {
    /// Never [`Effect::HardDeny`].
    pub effect: Effect,
    /// The tier it states.
    pub risk_tier: RiskTier,
    /// Named `<default>`, at the place where it is declared.
    pub reference: Arc<RuleRef>,
}

/// One YAML policy file, lowered.
#[derive(Debug, Clone)]
pub struct Unit {
    /// How its rules speak together.
    pub kind: UnitKind,
    /// Its rules in file order.
    pub rules: Vec<Rule>,
}
