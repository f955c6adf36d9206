//! The credentials of a deployment: a ledger in which they are registered, a clock and the system's randomness.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use placet_trust::Ledger;
use placet_trust::credentials::broker::{Broker, BrokerLimits, BrokerMemory, Clock as BrokerClock};
use placet_trust::credentials::keys::{IssuerKeys, NoRandom, Random};
use placet_trust::credentials::token::ProofId;
use placet_types::Micros;

use crate::clock::Clock;

/// Issues, shows and revokes credentials; shared by whoever issues them and by the pipelines that demand them.
pub struct Registrar {
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    memory: BrokerMemory,
    limits: BrokerLimits,
    by: Arc<str>,
    issuer: Option<Arc<dyn IssuerKeys>>,
    audience: Option<Arc<str>>,
}

impl Registrar {
    /// Credentials registered in a ledger; `by` is who issues them, as records name it.
    #[must_use]
    pub fn new(ledger: Arc<dyn Ledger>, clock: Arc<dyn Clock>, limits: BrokerLimits, by: Arc<str>) -> Self {
        Self { ledger, clock, memory: BrokerMemory::default(), limits, by, issuer: None, audience: None }
    }

    /// With the keys of an issuer, so that chains of signed tokens are made and accepted.
    #[must_use]
    pub fn issuer(self, issuer: Arc<dyn IssuerKeys>) -> Self {
        Self { issuer: Some(issuer), ..self }
    }

    /// Demands that proofs of possession name this enforcement point, so that none is used at two.
    #[must_use]
    pub fn audience(self, audience: Option<Arc<str>>) -> Self {
        Self { audience, ..self }
    }

    /// The name that proofs must bear.
    #[must_use]
    pub fn demanded_audience(&self) -> Option<&str> {
        self.audience.as_deref()
    }

    /// Says that a proof of possession was not used after all.
    pub(crate) fn give_back(&self, proof: &ProofId) {
        self.memory.give_back(proof);
    }

    /// The time, as credentials are judged by it.
    #[must_use]
    pub fn time(&self) -> Micros {
        self.now()
    }

    /// The randomness with which holders sign.
    #[must_use]
    pub fn random(&self) -> &'static dyn Random {
        &SystemRandom
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
        let broker = Broker::new(ledger, self, &SystemRandom, &self.memory, self.limits, self.by.clone());
        match &self.issuer {
            Some(issuer) => broker.with_issuer(issuer.as_ref()),
            None => broker,
        }
    }
}

impl BrokerClock for Registrar {
    fn now(&self) -> Micros {
        Micros(self.clock.now().as_microsecond())
    }
}

/// The randomness of the system.
#[derive(Debug, Clone, Copy)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandom> {
        getrandom::fill(bytes).map_err(|_| NoRandom)
    }
}
