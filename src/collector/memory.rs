//! The three numbers that follow the limit of memory.

use super::Fault;
use crate::api::stack::Resources;
use crate::k8s::Quantity;

/// What the Collector may use, in MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// `GOMEMLIMIT`: from here on Go collects garbage harder.
    pub go_limit_mib: u64,
    /// `memory_limiter`'s `limit_mib`: from here on it collects garbage by force.
    pub limit_mib: u64,
    /// `memory_limiter`'s `spike_limit_mib`: by so much earlier it refuses data, which senders keep and send again.
    pub spike_limit_mib: u64,
}

const MIB: u64 = 1 << 20;
/// Less doesn't hold the metadata of a node's pods.
const LEAST: u64 = 128 * MIB;
const FIELD: &str = "spec.collector.resources.limits.memory";

// === impl Memory ===

impl Memory {
    /// # Errors
    /// When there is no limit, or none that a Collector can run with.
    pub fn of(limit: Option<&Quantity>) -> Result<Self, Fault> {
        let Some(Quantity(written)) = limit else {
            return Err(Fault::new(FIELD, "has to be there: GOMEMLIMIT and memory_limiter follow it; such as 1Gi"));
        };
        let bytes = bytes(written);
        let bytes = bytes.ok_or_else(|| Fault::new(FIELD, "isn't an amount of memory; write it such as 1Gi"))?;
        if bytes < LEAST {
            return Err(Fault::new(FIELD, "is less than a Collector can run with; at least 128Mi"));
        }
        // What isn't Go's heap (stacks, the file's pages, what is freed and not yet given back) has the rest.
        let limit_mib = bytes / MIB * 4 / 5;
        Ok(Self { go_limit_mib: limit_mib, limit_mib, spike_limit_mib: limit_mib / 5 })
    }
}

/// What a quantity of Kubernetes says, in whole units, rounded up; none where it isn't one, or none that counts bytes.
fn bytes(written: &str) -> Option<u64> {
    u64::try_from(thousandths(written)?.div_ceil(1_000)).ok()
}

/// The same in thousandths, as CPUs are counted.
fn thousandths(written: &str) -> Option<u128> {
    let split = written.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(written.len());
    let (number, suffix) = written.split_at(split);
    let factor = match suffix {
        "" => 1_000,
        "m" => 1,
        "k" => 1_000_000,
        "M" => 1_000_000_000,
        "G" => 1_000_000_000_000,
        "T" => 1_000_000_000_000_000,
        "Ki" => 1_000 << 10,
        "Mi" => 1_000 << 20,
        "Gi" => 1_000 << 30,
        "Ti" => 1_000 << 40,
        exponent => {
            let power: u32 = exponent.strip_prefix(['e', 'E'])?.trim_start_matches('+').parse().ok()?;
            10_u128.checked_pow(power)?.checked_mul(1_000)?
        }
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    Some(digits.checked_mul(factor)?.div_ceil(scale))
}

/// # Errors
/// When more is asked for than may be used, which the API server takes of no pod. What can't be compared is left to it.
pub fn check_requests(resources: &Resources) -> Result<(), Fault> {
    for (what, Quantity(requested)) in &resources.requests {
        let Some(Quantity(limit)) = resources.limits.get(what) else { continue };
        if thousandths(requested).zip(thousandths(limit)).is_some_and(|(requested, limit)| requested > limit) {
            let field = format!("spec.collector.resources.requests.{what}");
            return Err(Fault::new(field, format!("is {requested}, which is more than limits.{what}, {limit}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(limit: &str) -> Result<Memory, Fault> {
        Memory::of(Some(&Quantity(limit.to_owned())))
    }

    #[test]
    fn all_numbers_are_of_one() {
        let memory = of("1Gi").expect("an amount");
        let expected = Memory { go_limit_mib: 819, limit_mib: 819, spike_limit_mib: 163 };
        assert_eq!(memory, expected);
    }

    #[test]
    fn an_amount_is_read_as_kubernetes_reads_it() {
        for (written, expected) in [
            ("1073741824", Some(1 << 30)),
            ("1024Mi", Some(1 << 30)),
            ("1.5Gi", Some(3 << 29)),
            ("0.5G", Some(500_000_000)),
            ("2e9", Some(2_000_000_000)),
            ("1E+9", Some(1_000_000_000)),
            ("500000000000m", Some(500_000_000)),
            ("1000001m", Some(1_001)),
            ("1Ti", Some(1 << 40)),
            ("", None),
            (".", None),
            ("Gi", None),
            ("1GB", None),
            ("-1Gi", None),
            ("1 Gi", None),
            ("1e99", None),
            ("99999999999999999999999999999999999999999", None),
        ] {
            assert_eq!(bytes(written), expected, "{written}");
        }
    }

    #[test]
    fn no_more_is_asked_for_than_may_be_used() {
        let check = |requests, limits| check_requests(&Resources::new(requests, limits));
        for (requests, limits) in [
            (["200m", "512Mi"], ["500m", "1Gi"]),
            (["0.5", "1Gi"], ["500m", "1024Mi"]),
            (["500000u", "1Gi"], ["100m", "1Gi"]),
        ] {
            assert_eq!(check(requests, limits).map_err(|fault| fault.to_string()), Ok(()), "{requests:?} {limits:?}");
        }
        let fault = check(["1", "512Mi"], ["500m", "1Gi"]).expect_err("too much").to_string();
        assert_eq!(fault, "spec.collector.resources.requests.cpu: is 1, which is more than limits.cpu, 500m");
        assert!(check(["1m", "1.5Gi"], ["500m", "1Gi"]).is_err());
        let mut unlimited = Resources::new(["1", "512Mi"], ["500m", "1Gi"]);
        unlimited.limits.remove("cpu");
        assert!(check_requests(&unlimited).is_ok());
    }

    #[test]
    fn what_no_collector_runs_with_is_a_fault_of_the_field() {
        for (limit, says) in [("64Mi", "at least 128Mi"), ("much", "such as 1Gi"), ("0", "at least 128Mi")] {
            let fault = of(limit).expect_err("too little, or nothing").to_string();
            assert!(fault.starts_with("spec.collector.resources.limits.memory: ") && fault.contains(says), "{fault}");
        }
        assert!(Memory::of(None).expect_err("there is none").to_string().contains("has to be there"));
    }
}
