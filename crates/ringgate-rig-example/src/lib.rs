//! Shows rig's clients behind a limiter: see `examples/rig_agents.rs`. A crate of its own, so that nothing else compiles rig.
