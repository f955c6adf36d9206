//! The compiled pack: one automaton for the anchors, one lazy automaton for all shapes and contexts.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use regex_automata::hybrid::dfa::{Cache, Config, DFA};
use regex_automata::nfa::thompson::{Compiler, Config as NfaConfig, WhichCaptures};
use regex_automata::util::pool::{Pool, PoolGuard};
use regex_automata::{Anchored, Input, PatternID};
use regex_syntax::hir::Hir;

use crate::pack::Pattern;
use crate::shape::{Gap, Node, Place};

/// How far a match reaches in the shadow, in bytes.
pub(crate) const MATCH_BYTES: usize = 512;
/// How far a context reaches in the shadow, in bytes.
pub(crate) const CONTEXT_BYTES: usize = 256;
/// The most memory the compiled shapes may take.
const PROGRAM_LIMIT_BYTES: usize = 64 << 20;
/// The memory for the states one scan has met.
const CACHE_BYTES: usize = 8 << 20;

/// One shape with its contexts, parsed.
pub(crate) struct ShapeSpec {
    pub(crate) pattern: usize,
    pub(crate) gap: Gap,
    pub(crate) anchors: BTreeSet<Vec<u8>>,
    pub(crate) core: Node,
    pub(crate) before: Option<Node>,
    pub(crate) after: Option<Node>,
}

/// One shape, compiled.
pub(crate) struct Shape {
    pub(crate) pattern: usize,
    core: PatternID,
    before: Option<PatternID>,
    after: Option<PatternID>,
}

type CachePool = Pool<Cache, Box<dyn Fn() -> Cache + Send + Sync + UnwindSafe + RefUnwindSafe>>;
/// The states of the lazy automaton, borrowed for one scan.
pub(crate) type States<'p> =
    PoolGuard<'p, Cache, Box<dyn Fn() -> Cache + Send + Sync + UnwindSafe + RefUnwindSafe>>;

/// A compiled pack.
pub(crate) struct Program {
    pub(crate) patterns: Vec<Pattern>,
    shapes: Vec<Shape>,
    anchors: AhoCorasick,
    by_anchor: Vec<Vec<usize>>,
    dfa: Arc<DFA>,
    states: CachePool,
}

impl Program {
    /// Compiles the shapes.
    ///
    /// # Errors
    /// What the automaton compilers say when the pack is too large for them.
    pub(crate) fn build(patterns: Vec<Pattern>, specs: &[ShapeSpec]) -> Result<Self, String> {
        let mut expressions = Expressions::default();
        let mut by_anchor: BTreeMap<&[u8], Vec<usize>> = BTreeMap::new();
        let mut shapes = Vec::with_capacity(specs.len());
        for (index, spec) in specs.iter().enumerate() {
            shapes.push(Shape {
                pattern: spec.pattern,
                core: expressions.add(spec.core.compile(spec.gap, Place::Core))?,
                before: expressions.add_context(spec.before.as_ref(), Place::Before)?,
                after: expressions.add_context(spec.after.as_ref(), Place::After)?,
            });
            for anchor in &spec.anchors {
                by_anchor.entry(anchor).or_default().push(index);
            }
        }
        let anchors = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::DFA))
            .prefilter(false)
            .build(by_anchor.keys())
            .map_err(|error| error.to_string())?;
        let dfa = Arc::new(expressions.compile()?);
        let pooled = Arc::clone(&dfa);
        Ok(Self {
            patterns,
            shapes,
            anchors,
            by_anchor: by_anchor.into_values().collect(),
            states: Pool::new(Box::new(move || pooled.create_cache())),
            dfa,
        })
    }

    /// Where anchors begin, each with the shapes that begin so.
    pub(crate) fn anchors<'s>(&'s self, text: &'s [u8]) -> impl Iterator<Item = (usize, &'s [usize])> {
        self.anchors.find_overlapping_iter(text).map(|hit| {
            let shapes = self.by_anchor.get(hit.pattern().as_usize()).map_or(&[][..], Vec::as_slice);
            (hit.start(), shapes)
        })
    }

    /// The shape with this number.
    pub(crate) fn shape(&self, index: usize) -> Option<&Shape> {
        self.shapes.get(index)
    }

    /// The states for one scan.
    pub(crate) fn states(&self) -> States<'_> {
        self.states.get()
    }

    /// The end of a match of the shape's core that begins at `start`.
    pub(crate) fn core_end(
        &self,
        shape: &Shape,
        states: &mut Cache,
        text: &[u8],
        start: usize,
    ) -> Option<usize> {
        self.search(states, text, start..start.saturating_add(MATCH_BYTES), shape.core)
    }

    /// True when what stands around a match is what the shape asks for.
    pub(crate) fn contexts_hold(
        &self,
        shape: &Shape,
        states: &mut Cache,
        text: &[u8],
        span: Range<usize>,
    ) -> bool {
        let after = shape.after.is_none_or(|pattern| {
            let reach = span.end..span.end.saturating_add(CONTEXT_BYTES);
            self.search(states, text, reach, pattern).is_some()
        });
        after
            && shape.before.is_none_or(|pattern| {
                // Cut at the match, so that the expression's end anchor stands there.
                let head = text.get(..span.start).unwrap_or_default();
                let reach = span.start.saturating_sub(CONTEXT_BYTES)..span.start;
                self.search(states, head, reach, pattern).is_some()
            })
    }

    pub(crate) fn has_after(shape: &Shape) -> bool {
        shape.after.is_some()
    }

    fn search(
        &self,
        states: &mut Cache,
        text: &[u8],
        reach: Range<usize>,
        pattern: PatternID,
    ) -> Option<usize> {
        let reach = reach.start..reach.end.min(text.len());
        let input = Input::new(text).range(reach).anchored(Anchored::Pattern(pattern));
        // INVARIANT: no error. There are no quit bytes, the cache may be cleared without limit, and start
        // states exist for every pattern.
        self.dfa.try_search_fwd(states, &input).ok().flatten().map(|found| found.offset())
    }
}

/// Expressions by number; contexts are shared by many shapes.
#[derive(Default)]
struct Expressions {
    all: Vec<Hir>,
    contexts: Vec<(Hir, PatternID)>,
}

impl Expressions {
    fn add(&mut self, expression: Hir) -> Result<PatternID, String> {
        let id = PatternID::new(self.all.len()).map_err(|error| error.to_string())?;
        self.all.push(expression);
        Ok(id)
    }

    fn add_context(&mut self, node: Option<&Node>, place: Place) -> Result<Option<PatternID>, String> {
        let Some(node) = node else { return Ok(None) };
        let expression = node.compile(Gap::Spaces, place);
        if let Some((_, id)) = self.contexts.iter().find(|(known, _)| *known == expression) {
            return Ok(Some(*id));
        }
        let id = self.add(expression.clone())?;
        self.contexts.push((expression, id));
        Ok(Some(id))
    }

    fn compile(&self) -> Result<DFA, String> {
        let config = NfaConfig::new()
            .utf8(false)
            .which_captures(WhichCaptures::None)
            .nfa_size_limit(Some(PROGRAM_LIMIT_BYTES));
        let nfa = Compiler::new()
            .configure(config)
            .build_many_from_hir(&self.all)
            .map_err(|error| error.to_string())?;
        DFA::builder()
            .configure(
                Config::new()
                    .starts_for_each_pattern(true)
                    .cache_capacity(CACHE_BYTES)
                    .skip_cache_capacity_check(true),
            )
            .build_from_nfa(nfa)
            .map_err(|error| error.to_string())
    }
}
