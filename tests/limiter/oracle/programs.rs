//! What is tried.

use proptest::prelude::*;
use std::fmt;

/// An index, modulo the number of items.
pub(super) type Pick = usize;

#[derive(Debug, Clone)]
pub(super) enum Op {
    Try {
        limiter: Pick,
        class: usize,
        owned: bool,
    },
    /// Several calls at once, each of which ends at once.
    Burst {
        limiter: Pick,
        calls: usize,
    },
    /// A new call, polled at once or later.
    Call {
        limiter: Pick,
        class: usize,
        timeout: Option<u64>,
        owned: bool,
        polled: bool,
    },
    /// With another waker than before, or the same.
    Poll(Pick, Woken),
    /// Polls all woken calls, as an executor does, until none is woken. It leaves out silent ones.
    Run {
        backwards: bool,
    },
    PollAgainAfterTheEnd(Pick),
    /// It is not polled any more, unless by `Poll`.
    Silence(Pick),
    /// `mem::forget`.
    Leak(Pick),
    /// The grace passes, and woken calls are polled meanwhile.
    Grace,
    Drop(Pick),
    End(Pick),
    Time(Move),
    SetRate {
        limiter: Pick,
        n: usize,
        limit: u32,
        window: u64,
    },
    Reset(Pick),
    Pause {
        limiter: Pick,
        length: u64,
    },
    Resume(Pick),
    Close(Pick),
    /// An operation on the shared slots themselves.
    Slots(SlotsOp),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Woken {
    BySame,
    ByAnother,
}

#[derive(Debug, Clone)]
pub(super) enum Move {
    On(u64),
    Back(u64),
    /// So many eighths of the grace.
    Eighths(u64),
    /// Back by more than a second.
    Jump(u64),
    /// To the instant at which the rate admits one more after `ahead` others, or 1 ns before.
    ToTurn {
        limiter: Pick,
        ahead: usize,
        early: bool,
    },
    ToDeadline(Pick),
    Years(u64),
}

#[derive(Debug, Clone)]
pub(super) enum SlotsOp {
    Try,
    Wait,
    Add(usize),
    Forget(usize),
    Reduce(usize),
    Close,
}

/// Up to two rates.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) rules: Vec<(u32, u64)>,
    pub(super) margin: u64,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum InFlight {
    Unlimited,
    None,
    /// Each limiter has this many of its own.
    Own(usize),
    /// One semaphore for both.
    Shared(usize),
    /// Each has its own, and they share some.
    Both {
        own: usize,
        shared: usize,
    },
}

#[derive(Clone)]
pub(super) struct Program {
    pub(super) start: u64,
    /// The longest that a timer sleeps. Below `u64::MAX` it may ring early.
    pub(super) longest: u64,
    /// Whether calls have different priorities.
    pub(super) has_classes: bool,
    pub(super) shapes: [Shape; 2],
    pub(super) in_flight: InFlight,
    pub(super) ops: Vec<Op>,
}

/// A line for each operation.
impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { start, longest, has_classes, shapes, in_flight, ops } = self;
        writeln!(f, "from {start} ns, timers of at most {longest} ns, {in_flight:?}")?;
        writeln!(f, "  classes: {has_classes}")?;
        shapes.iter().try_for_each(|shape| writeln!(f, "  {shape:?}"))?;
        ops.iter().try_for_each(|op| writeln!(f, "    {op:?}"))
    }
}

fn limits() -> impl Strategy<Value = u32> {
    prop_oneof![12 => 1..=3_u32, 3 => 4..=30_u32, 1 => Just(0)]
}

fn windows() -> impl Strategy<Value = u64> {
    prop_oneof![12 => 1..=12_u64, 3 => 13..=100_u64, 1 => Just(0), 1 => Just(100_000_000_000)]
}

fn shapes(least_rules: usize) -> impl Strategy<Value = Shape> {
    let rule = || (limits(), windows());
    let rules = prop_oneof![
        8 => prop::collection::vec(rule(), 1..2),
        4 => prop::collection::vec(rule(), 2..4),
        1 => prop::collection::vec(rule(), least_rules..2),
    ];
    let margins = prop_oneof![3 => Just(0), 1 => 1..=5_u64];
    (rules, margins).prop_map(|(rules, margin)| Shape { rules, margin })
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        8 => (0..=15_u64).prop_map(Move::On),
        2 => (1..=25_u64).prop_map(Move::Back),
        8 => (0..2_usize, 0..4_usize, any::<bool>())
            .prop_map(|(limiter, ahead, early)| Move::ToTurn { limiter, ahead, early }),
        3 => (0..9_usize).prop_map(Move::ToDeadline),
        2 => (1..=5_u64).prop_map(Move::Eighths),
        1 => (0..=2_u64).prop_map(Move::Years),
        1 => (1..=3_u64).prop_map(Move::Jump),
    ]
}

fn slots_ops() -> impl Strategy<Value = SlotsOp> {
    prop_oneof![
        4 => Just(SlotsOp::Try),
        4 => Just(SlotsOp::Wait),
        4 => (0..=3_usize).prop_map(SlotsOp::Add),
        3 => (0..=3_usize).prop_map(SlotsOp::Forget),
        3 => (0..=3_usize).prop_map(SlotsOp::Reduce),
        1 => Just(SlotsOp::Close),
    ]
}

fn timeout() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![3 => Just(None), 3 => (0..=30_u64).prop_map(Some), 1 => Just(Some(u64::MAX))]
}

fn op() -> impl Strategy<Value = Op> {
    let woken = prop_oneof![Just(Woken::BySame), Just(Woken::ByAnother)];
    let tries = (0..2_usize, 0..3_usize, any::<bool>());
    let calls = (0..2_usize, 0..3_usize, timeout(), any::<bool>(), prop::bool::weighted(0.8));
    let rates = (0..2_usize, 0..3_usize, limits(), windows());
    let lengths = prop_oneof![9 => 0..=40_u64, 2 => 1..=4_000_000_000_u64, 1 => Just(u64::MAX)];
    prop_oneof![
        10 => tries.prop_map(|(limiter, class, owned)| Op::Try { limiter, class, owned }),
        30 => calls.prop_map(|(limiter, class, timeout, owned, polled)| {
            Op::Call { limiter, class, timeout, owned, polled }
        }),
        16 => (0..9_usize, woken).prop_map(|(which, woken)| Op::Poll(which, woken)),
        14 => any::<bool>().prop_map(|backwards| Op::Run { backwards }),
        2 => (0..9_usize).prop_map(Op::PollAgainAfterTheEnd),
        5 => (0..9_usize).prop_map(Op::Silence),
        2 => (0..9_usize).prop_map(Op::Leak),
        2 => Just(Op::Grace),
        10 => (0..9_usize).prop_map(Op::Drop),
        16 => (0..9_usize).prop_map(Op::End),
        26 => moves().prop_map(Op::Time),
        6 => rates
            .prop_map(|(limiter, n, limit, window)| Op::SetRate { limiter, n, limit, window }),
        1 => (0..2_usize).prop_map(Op::Reset),
        5 => (0..2_usize, lengths).prop_map(|(limiter, length)| Op::Pause { limiter, length }),
        3 => (0..2_usize).prop_map(Op::Resume),
        8 => slots_ops().prop_map(Op::Slots),
    ]
}

/// Rare, because not much happens afterwards.
fn op_or_close() -> impl Strategy<Value = Op> {
    prop_oneof![400 => op(), 1 => (0..2_usize).prop_map(Op::Close)]
}

pub(super) fn programs(
    least_rules: usize,
    in_flight: impl Strategy<Value = InFlight>,
) -> impl Strategy<Value = Program> {
    let starts = prop_oneof![Just(0), Just(1_000), 0..=1_u64 << 60];
    let longest = prop_oneof![4 => Just(u64::MAX), 1 => 1..=10_u64];
    let shapes = [shapes(least_rules), shapes(least_rules)];
    let ops = prop::collection::vec(op_or_close(), 1..90);
    (starts, longest, any::<bool>(), shapes, in_flight, ops).prop_map(
        |(start, longest, has_classes, shapes, in_flight, ops)| Program {
            start,
            longest,
            has_classes,
            shapes,
            in_flight,
            ops,
        },
    )
}

/// One large rule, so that there are several rings.
pub(super) fn split_programs() -> impl Strategy<Value = Program> {
    let shape = || {
        let rule = (128..=200_u32, 1..=12_u64);
        rule.prop_map(|rule| Shape { rules: vec![rule], margin: 0 })
    };
    let burst =
        (0..2_usize, 1..=210_usize).prop_map(|(limiter, calls)| Op::Burst { limiter, calls });
    let keeps =
        |op: &Op| !matches!(op, Op::SetRate { .. } | Op::Time(Move::Back(_) | Move::Jump(_)));
    let op = prop_oneof![1 => burst, 6 => op().prop_filter("exact on one ring only", keeps)];
    let ops = prop::collection::vec(op, 1..90);
    ([shape(), shape()], any_in_flight(), ops).prop_map(|(shapes, in_flight, ops)| Program {
        start: 0,
        longest: u64::MAX,
        has_classes: false,
        shapes,
        in_flight,
        ops,
    })
}

/// Calls that fall silent while they stand for shared slots that are in use, and eighths of the grace that pass.
pub(super) fn programs_of_silent_calls() -> impl Strategy<Value = Program> {
    let taken = (0..2_usize, 1..=4_usize)
        .prop_map(|(limiter, times)| vec![Op::Try { limiter, class: 0, owned: false }; times]);
    let line = prop::collection::vec((0..2_usize, any::<bool>()), 2..6).prop_map(|calls| {
        let call =
            |(limiter, owned)| Op::Call { limiter, class: 0, timeout: None, owned, polled: true };
        calls.into_iter().map(call).collect()
    });
    let silence = prop::collection::vec((0..9_usize).prop_map(Op::Silence), 1..4);
    let ends = prop::collection::vec((0..9_usize).prop_map(Op::End), 1..3);
    let waits =
        prop::collection::vec((1..=3_u64, any::<bool>(), 0..9_usize), 1..6).prop_map(|steps| {
            let step = |(eighths, backwards, end)| {
                let mut step = vec![Op::Time(Move::Eighths(eighths)), Op::Run { backwards }];
                step.extend((end < 2).then_some(Op::End(end)));
                step
            };
            steps.into_iter().flat_map(step).collect()
        });
    let limits_of_rates = prop_oneof![Just(0), 1..=2_u32, Just(30)];
    let changed = (0..2_usize, limits_of_rates).prop_map(|(limiter, limit)| {
        let window = 100_000_000_000;
        vec![Op::SetRate { limiter, n: 0, limit, window }, Op::Run { backwards: false }]
    });
    let others = prop::collection::vec(op_or_close(), 1..6);
    let steps = prop_oneof![
        2 => taken,
        3 => line,
        2 => silence,
        3 => ends,
        4 => waits,
        2 => changed,
        3 => others,
    ];
    let shape = || {
        let rare = (4..=20_u32, prop_oneof![windows(), Just(100_000_000_000)]);
        prop::collection::vec(rare, 0..2).prop_map(|rules| Shape { rules, margin: 0 })
    };
    let in_flight = prop_oneof![
        1 => (1..=3_usize).prop_map(InFlight::Shared),
        1 => (1..=2_usize, 1..=3_usize)
            .prop_map(|(own, shared)| InFlight::Both { own, shared }),
    ];
    let steps = prop::collection::vec(steps, 3..25);
    ([shape(), shape()], in_flight, steps).prop_map(|(shapes, in_flight, steps)| Program {
        start: 0,
        longest: u64::MAX,
        has_classes: false,
        shapes,
        in_flight,
        ops: steps.concat(),
    })
}

/// A long line of all classes at one slot.
pub(super) fn queues() -> impl Strategy<Value = Program> {
    let call = (0..3_usize).prop_map(|class| {
        vec![Op::Call { limiter: 0, class, timeout: None, owned: false, polled: true }]
    });
    let next = any::<bool>().prop_map(|backwards| vec![Op::End(0), Op::Run { backwards }]);
    let steps = prop::collection::vec(prop_oneof![3 => call, 2 => next], 30..120);
    steps.prop_map(|steps| Program {
        start: 0,
        longest: u64::MAX,
        has_classes: true,
        shapes: [(); 2].map(|()| Shape { rules: Vec::new(), margin: 0 }),
        in_flight: InFlight::Own(1),
        ops: steps.concat(),
    })
}

pub(super) fn any_in_flight() -> impl Strategy<Value = InFlight> {
    prop_oneof![
        2 => Just(InFlight::Unlimited),
        1 => Just(InFlight::None),
        4 => (1..=3_usize).prop_map(InFlight::Own),
        8 => (0..=3_usize).prop_map(InFlight::Shared),
        4 => (1..=3_usize, 0..=3_usize)
            .prop_map(|(own, shared)| InFlight::Both { own, shared }),
    ]
}
