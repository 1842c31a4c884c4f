//! One thread stalls at any of its steps, and never continues while the others work. Their work still
//! completes.
//!
//! `harness` plays a scene once for every atomic step of one operation. A thread stops just before that
//! step. Meanwhile the others finish their work and are served. Then the thread continues, and nothing is
//! lost or made. Meanwhile at most what that thread held is missing.
//!
//! Every public operation of a part stops so during every other one. The operations, the starts and the
//! final account are those of the models (`pairs`). Some scenes of their own check more.
//!
//! This does not show two threads that stop, or orderings weaker than the machine's. loom shows those.
//!
//! `work` counts the same steps for another question: does any single call take more of them if the queue
//! is longer, or if more has been cancelled?

mod harness;
mod leases;
mod limiter;
mod semaphore;
mod tokens;
mod window;
mod work;
