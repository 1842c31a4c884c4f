//! One thread stops for ever, at any of its steps; the others' work still completes.
//!
//! `harness` plays a scene once for every atomic step of one operation: a thread stops just before
//! that step, and meanwhile the others do theirs to the end, and are served. Then it goes on, and
//! nothing must have been lost or made. At most what it held itself is missing meanwhile.
//!
//! Every public operation of a part stops so while every other one is done (the lists, the starts
//! and the account of the end are those of the models: `pairs`); and some scenes that say more.
//!
//! What this cannot see: two threads that stop, and orderings weaker than the machine's. loom sees
//! those.
//!
//! `work` counts the same steps for another question: whether any single call takes more of them the
//! longer the line is, or the more has been cancelled.

mod harness;
mod limiter;
mod semaphore;
mod window;
mod work;
