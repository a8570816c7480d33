//! The stages of a `TelemetryStack`'s life: each begins where the one before has ended, is what somebody does then, and
//! ends once the controller has done the rest.

use serde_json::{Value, json};

use super::super::nodes::ENDS;
use super::super::state::{Objects, is_complete};
use super::super::{STACK, World};

pub struct Stage {
    /// What is done.
    pub name: &'static str,
    /// Does it, in the life of that number.
    pub act: fn(&World<'_>, usize),
    /// Of what is there now, and what was there once the set was made.
    pub is_over: fn(&Objects, &Objects) -> bool,
}

const TRIAL: &str = "daemonsets/otel-collector-trial";
const WORDS: &str = "Error: invalid configuration: processors::resourcedetection: no such detector";

/// From an empty cluster to one with the whole set; but for the deletion, which is a stage of its own kind.
pub const STAGES: &[Stage] = &[
    Stage { name: "one stack is made", act: |world, _| world.ask_for_everything(), is_over: |now, _| is_complete(now) },
    Stage {
        name: "all is deleted or edited by hand",
        act: |world, life| world.undo_by_hand(life),
        is_over: |now, made| now == made,
    },
    Stage {
        name: "the Collector has another configuration",
        act: |world, _| world.ask(&json!({"collector": {"resources": {"requests": {"cpu": "100m"}}}})),
        is_over: |now, made| runs_well(now) && revision(now) != revision(made),
    },
    Stage {
        name: "the Collector has one that fails",
        act: |world, _| world.ask(&json!({"collector": {"podAnnotations": {ENDS: WORDS}}})),
        is_over: |now, _| says(now, "CollectorAvailable", "CollectorRolledBack") && runs_everywhere(now),
    },
    // Who has host metadata has changed with it, and so the Collector's configuration.
    Stage {
        name: "the Agent is switched off",
        act: |world, _| world.ask(&json!({"agent": {"mode": "disabled"}, "collector": {"podAnnotations": null}})),
        is_over: |now, _| has_no_agent(now) && runs_well(now),
    },
    Stage {
        name: "the Agent is the operator's",
        act: |world, _| world.ask(&json!({"agent": {"mode": "operator"}})),
        is_over: |now, _| has_no_agent(now) && now.contains_key("datadogagents/datadog") && runs_well(now),
    },
    Stage {
        name: "the Collector is switched off, the DatadogAgent deleted or edited by hand",
        act: |world, life| {
            world.ask(&json!({"collector": {"mode": "disabled"}}));
            world.undo_datadog_agent_by_hand(life);
        },
        is_over: |now, _| has_no_collector(now) && now.contains_key("datadogagents/datadog"),
    },
    Stage {
        name: "all is as it was",
        act: |world, _| {
            let collector = json!({"mode": "managed", "resources": null});
            world.ask(&json!({"agent": {"mode": "daemonset"}, "collector": collector}));
        },
        is_over: |now, made| now == made,
    },
];

impl World<'_> {
    #[track_caller]
    fn ask(&self, spec: &Value) {
        self.patch(&format!("{STACK}/default"), &json!({"spec": spec}));
    }
}

fn status(objects: &Objects) -> &Value {
    objects.get("telemetrystacks/default").map_or(&Value::Null, |stack| &stack["status"])
}

fn revision(objects: &Objects) -> &Value {
    &status(objects)["collector"]["revision"]
}

fn says(objects: &Objects, condition: &str, reason: &str) -> bool {
    let conditions = status(objects)["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|one| one[0] == condition && one[2] == reason)
}

/// The same one on every node, and no trial.
fn runs_everywhere(objects: &Objects) -> bool {
    let runs = |node: &str| {
        let pod = objects.get(&format!("pods/stable@{node}"));
        pod.is_some_and(|pod| pod["revision"] == *revision(objects) && pod["leaves"] == false)
    };
    let trial = |name: &String| name == TRIAL || name.starts_with("pods/trial");
    status(objects)["collector"]["ready"] == "2/2"
        && ["node-1", "node-2"].into_iter().all(runs)
        && !objects.keys().any(trial)
}

fn runs_well(objects: &Objects) -> bool {
    says(objects, "CollectorAvailable", "CollectorOnEveryNode") && runs_everywhere(objects)
}

fn is_of(part: &str, object: &Value) -> bool {
    object["metadata"]["labels"]["otelgate.dev/part"] == part
}

fn has_no_agent(objects: &Objects) -> bool {
    let is_left = |(name, object): (&String, &Value)| {
        is_of("agent", object) || name == "secrets/datadog-cluster-agent" || name.starts_with("pods/agent")
    };
    !objects.iter().any(is_left) && !objects.keys().any(|name| name.starts_with("pods/cluster-agent"))
}

fn has_no_collector(objects: &Objects) -> bool {
    let is_left = |(name, object): (&String, &Value)| {
        is_of("collector", object) || name.starts_with("pods/stable") || name.starts_with("pods/trial")
    };
    !objects.iter().any(is_left) && status(objects)["collector"] == json!({"ready": "off"})
}
