//! `placet approvals`: what waits for a person, and the person's answer.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod key;
mod notify;
mod question;
mod render;
mod sign;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use placet::record::ids::{ApprovalId, ApproverId, Micros};
use placet::record::ledger::{ApprovalState, VoteStrength};
use placet::trust::approvals::Approval;
use placet::trust::approvals::queue::{Host, Proof, Queue, QueueError, Voter};
use placet::trust::{Freshness, Ledger};

use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::log::{self, CommonArgs, Log};

/// See what waits for a person, and answer
#[derive(Debug, Args)]
pub(crate) struct ApprovalsArgs {
    #[command(subcommand)]
    command: Option<ApprovalsCommand>,
    #[command(flatten)]
    common: CommonArgs,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum ApprovalsCommand {
    /// List the requests that wait, oldest first
    List {
        /// Also those that were answered, used or ended
        #[arg(long)]
        all: bool,
    },
    /// Show exactly what would run, after checking that it is what was asked
    Show {
        /// Id of the request
        id: String,
    },
    /// Say yes
    Approve(AnswerArgs),
    /// Say no, which is final
    Deny(AnswerArgs),
    /// Say that you work on a request: meanwhile nobody else can say yes
    Claim {
        /// Id of the request
        id: String,
        /// Who works on it [default: the name of the user of this terminal]
        #[arg(long, value_name = "NAME")]
        by: Option<String>,
        /// For how long
        #[arg(long, value_name = "MINUTES", default_value_t = 15, conflicts_with = "release")]
        minutes: u32,
        /// Give it back
        #[arg(long)]
        release: bool,
    },
    /// Print requests as they come and as they are answered, until interrupted
    Watch,
    /// Remind, escalate and tell those under `approvals.notify`, until interrupted
    Notify {
        /// Do what is due now, and end
        #[arg(long)]
        once: bool,
    },
    /// Make a key with which a person signs answers; prints its public half for `approvals.keys`
    Keygen {
        /// Who signs with it
        #[arg(long, value_name = "NAME")]
        by: String,
        /// File for the secret half, which must not exist
        #[arg(long, short, value_name = "FILE")]
        output: PathBuf,
    },
    /// Sign an answer to a request of a service; prints the body that `approve` or `deny` is sent with
    Sign(sign::SignArgs),
}

/// Who answers.
#[derive(Debug, Args)]
struct AnswerArgs {
    /// Id of the request
    id: String,
    /// Who answers [default: the name of the user of this terminal]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Sign the answer with this key; without one it is only asserted
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

/// The clocks and ids of this process.
pub(crate) struct Process;

impl Host for Process {
    fn now(&self) -> Micros {
        Micros(jiff::Timestamp::now().as_microsecond())
    }

    fn instant(&self) -> Instant {
        Instant::now()
    }

    fn new_id(&self) -> String {
        placet::refusal::new_id().0.to_string()
    }
}

/// The requests of a deployment.
struct Desk {
    ledger: Arc<dyn Ledger>,
    log: Log,
}

pub(crate) fn run(args: &ApprovalsArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let common = &args.common;
    if let Some(ApprovalsCommand::Keygen { by, output }) = &args.command {
        return key::generate(by, output, common, console);
    }
    if let Some(ApprovalsCommand::Sign(args)) = &args.command {
        return sign::run(args, console);
    }
    let config = common.ledger.config()?;
    let desk = Desk { ledger: log::ledger(&common.ledger, &config)?, log: common.ledger.log()? };
    match &args.command {
        None => desk.list(false, common, console),
        Some(ApprovalsCommand::List { all }) => desk.list(*all, common, console),
        Some(ApprovalsCommand::Show { id }) => desk.show(id, common, console),
        Some(ApprovalsCommand::Approve(answer)) => desk.answer(answer, true, common, console),
        Some(ApprovalsCommand::Deny(answer)) => desk.answer(answer, false, common, console),
        Some(ApprovalsCommand::Claim { id, by, minutes, release }) => {
            let lasts = (!release).then(|| Duration::from_secs(u64::from(*minutes) * 60));
            desk.claim(id, by.as_deref(), lasts, common, console)
        }
        Some(ApprovalsCommand::Watch) => desk.watch(common, console),
        Some(ApprovalsCommand::Notify { once }) => {
            notify::run(&desk, config.approvals.notifiers()?, *once, common, console)
        }
        Some(ApprovalsCommand::Keygen { .. } | ApprovalsCommand::Sign(_)) => Ok(Exit::Ok),
    }
}

impl Desk {
    fn queue(&self) -> Queue<'_> {
        Queue::new(self.ledger.as_ref(), &Process)
    }

    /// Every request, oldest first.
    fn requests(&self) -> Result<Vec<Approval>, Failure> {
        let mut all = Vec::new();
        let read = self.ledger.read(Freshness::Now, &mut |state| {
            all = state.approvals.iter().cloned().collect();
        });
        read.map_err(|error| Failure::Ledger(error.to_string()))?;
        all.sort_by_key(|approval| approval.order);
        Ok(all)
    }

    /// The request with an id, which may be shortened to what is unique.
    fn request(&self, id: &str) -> Result<Approval, Failure> {
        let mut found = self.requests()?;
        found.retain(|approval| approval.entry.id.0.starts_with(id));
        if let Some(exact) = found.iter().position(|approval| *approval.entry.id.0 == *id) {
            found = vec![found.swap_remove(exact)];
        }
        match (found.pop(), found.is_empty()) {
            (Some(one), true) if !id.is_empty() => Ok(one),
            (None, _) => {
                let text = "is none of the ledger; `placet approvals list --all` lists them";
                Err(Failure::Negative(format!("the request `{id}` {text}")))
            }
            _ => Err(Failure::Negative(format!("several requests begin with `{id}`; write more of the id"))),
        }
    }

    fn list(&self, all: bool, common: &CommonArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let now = Process.now();
        let mut requests = self.requests()?;
        requests.retain(|approval| all || approval.state_at(now) == ApprovalState::Pending);
        if common.is_json() {
            let requests: Vec<_> = requests.iter().map(|approval| render::json(approval, now)).collect();
            console.json(&requests)?;
        } else if requests.is_empty() {
            console.say(if all { "nobody was asked yet" } else { "nothing waits for a person" });
        } else {
            let text = render::table(&requests, now, console.paint);
            console.out.write_all(text.as_bytes())?;
            if let Some(summary) = render::summary(&requests, now) {
                console.say(&summary);
            }
        }
        Ok(Exit::Ok)
    }

    fn claim(
        &self,
        id: &str,
        by: Option<&str>,
        lasts: Option<Duration>,
        common: &CommonArgs,
        console: &mut Console<'_>,
    ) -> Result<Exit, Failure> {
        let id = self.request(id)?.entry.id;
        let by = ApproverId::from(name(by)?);
        let queue = self.queue();
        let done = match lasts {
            Some(lasts) => queue.claim(&id, &by, lasts),
            None => queue.release(&id, &by),
        };
        let after = done.map_err(|error| self.failure(&id, error))?;
        if common.is_json() {
            console.json(&render::json(&after, Process.now()))?;
        } else {
            match after.claimed(Process.now()) {
                Some(claim) => {
                    let until = crate::moment::short(claim.until_us);
                    console.say(&format!("`{id}` is yours until {until}: nobody else can say yes"));
                }
                None => console.say(&format!("`{id}` is nobody's: whoever may answer can")),
            }
        }
        Ok(Exit::Ok)
    }

    fn show(&self, id: &str, common: &CommonArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let approval = self.request(id)?;
        let shown = question::of(&approval, &self.log)?;
        let now = Process.now();
        if common.is_json() {
            let mut json = render::json(&approval, now);
            if let Some(map) = json.as_object_mut() {
                map.insert("displayed".to_owned(), shown.text.as_deref().ok().into());
                map.insert("displayed_checked".to_owned(), shown.text.is_ok().into());
            }
            console.json(&json)?;
        } else {
            let text = render::whole(&approval, &shown, now, console.paint);
            console.out.write_all(text.as_bytes())?;
        }
        Ok(if shown.text.is_ok() { Exit::Ok } else { Exit::Negative })
    }

    fn answer(
        &self,
        args: &AnswerArgs,
        yes: bool,
        common: &CommonArgs,
        console: &mut Console<'_>,
    ) -> Result<Exit, Failure> {
        let approval = self.request(&args.id)?;
        if yes && let Err(problem) = question::of(&approval, &self.log)?.text {
            return Err(Failure::Negative(format!("nobody can approve `{}`: {problem}", approval.entry.id)));
        }
        let approver = ApproverId::from(name(args.by.as_deref())?);
        let key = args.key.as_deref().map(key::read).transpose()?;
        let proof = key.as_ref().map_or(Proof::Asserted, Proof::Key);
        let voter = Voter { approver: &approver, proof, channel: "cli" };
        let reason = args.reason.as_deref();
        let after = self.vote(&approval.entry.id, &voter, yes, reason)?;
        if common.is_json() {
            console.json(&render::json(&after, Process.now()))?;
        } else {
            let strength = if key.is_some() { VoteStrength::Signed } else { VoteStrength::Asserted };
            let text = render::answered(&after, &approver, yes, strength, Process.now(), console.paint);
            console.out.write_all(text.as_bytes())?;
        }
        Ok(if after.state == ApprovalState::Pending { Exit::Escalate } else { Exit::Ok })
    }

    fn vote(
        &self,
        id: &ApprovalId,
        voter: &Voter<'_>,
        yes: bool,
        reason: Option<&str>,
    ) -> Result<Approval, Failure> {
        let queue = self.queue();
        let done = if yes { queue.approve(id, voter, reason) } else { queue.deny(id, voter, reason) };
        done.map_err(|error| self.failure(id, error))
    }

    /// What went wrong, in words for the one who answers.
    fn failure(&self, id: &ApprovalId, error: QueueError) -> Failure {
        match error {
            QueueError::Approval(error) if error.is_conflict() => {
                let now = self.queue().get(id).ok().flatten();
                let late = now.and_then(|approval| render::too_late(&approval, Process.now()));
                Failure::Negative(late.unwrap_or_else(|| error.to_string()))
            }
            QueueError::Approval(error) => Failure::Negative(error.to_string()),
            QueueError::Refused(error) => Failure::Negative(error.to_string()),
            other => Failure::Ledger(other.to_string()),
        }
    }
}

/// The name given, else that of the user.
fn name(given: Option<&str>) -> Result<String, Failure> {
    let of = |variable: &str| std::env::var(variable).ok();
    let name = given.map(str::to_owned).or_else(|| of("USER")).or_else(|| of("LOGNAME"));
    name.filter(|name| !name.trim().is_empty())
        .ok_or_else(|| Failure::Usage("say who answers with `--by NAME`".to_owned()))
}
