//! The credentials of a deployment: a ledger in which they are registered, a clock and the system's randomness.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use placet_trust::Ledger;
use placet_trust::credentials::broker::{Broker, BrokerLimits, BrokerMemory, Clock as BrokerClock};
use placet_trust::credentials::keys::{NoRandom, Random};
use placet_types::Micros;

use crate::clock::Clock;

/// Issues, shows and revokes credentials; shared by whoever issues them and by the pipelines that demand them.
pub struct Registrar {
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    memory: BrokerMemory,
    limits: BrokerLimits,
    by: Arc<str>,
}

impl Registrar {
    /// Credentials registered in a ledger; `by` is who issues them, as records name it.
    #[must_use]
    pub fn new(ledger: Arc<dyn Ledger>, clock: Arc<dyn Clock>, limits: BrokerLimits, by: Arc<str>) -> Self {
        Self { ledger, clock, memory: BrokerMemory::default(), limits, by }
    }

    /// Where they are registered.
    #[must_use]
    pub fn ledger(&self) -> &Arc<dyn Ledger> {
        &self.ledger
    }

    /// The broker.
    #[must_use]
    pub fn broker(&self) -> Broker<'_> {
        let ledger = self.ledger.as_ref();
        Broker::new(ledger, self, &SystemRandom, &self.memory, self.limits, self.by.clone())
    }
}

impl BrokerClock for Registrar {
    fn now(&self) -> Micros {
        Micros(self.clock.now().as_microsecond())
    }
}

/// The randomness of the system.
struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandom> {
        getrandom::fill(bytes).map_err(|_| NoRandom)
    }
}
