//! Networks: containment, intersection, merging. No name is ever looked up.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use regorus::Value;

use super::{Added, Failure, Outcome, string, undefined};

pub(super) const ADDED: &[Added] = &[
    Added::new("net.cidr_contains", 2, cidr_contains),
    Added::new("net.cidr_contains_matches", 2, cidr_contains_matches),
    Added::new("net.cidr_expand", 1, cidr_expand),
    Added::new("net.cidr_intersects", 2, cidr_intersects),
    Added::new("net.cidr_merge", 1, cidr_merge),
];

/// Most addresses that one call lists.
const MAX_ADDRESSES: u32 = 1 << 20;

fn network(text: &str) -> Result<IpNet, Failure> {
    let network: IpNet = undefined(text.parse())?;
    Ok(network.trunc())
}

/// Go treats an IPv4-mapped IPv6 address as the IPv4 address.
fn address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

fn contains(outer: &str, inner: &str) -> Result<bool, Failure> {
    let outer = network(outer)?;
    if let Some(address) = address(inner) {
        return Ok(outer.contains(&address));
    }
    Ok(outer.contains(&network(inner)?))
}

pub(super) fn cidr_contains(arguments: &[Value]) -> Outcome {
    Ok(Value::from(contains(string(arguments.first())?, string(arguments.get(1))?)?))
}

fn cidr_intersects(arguments: &[Value]) -> Outcome {
    let (left, right) = (network(string(arguments.first())?)?, network(string(arguments.get(1))?)?);
    Ok(Value::from(left.contains(&right.network()) || right.contains(&left.network())))
}

/// The networks of an operand, each with what stands for it in the result.
fn operand(value: Option<&Value>) -> Result<Vec<(String, Value)>, Failure> {
    let text = |value: &Value| match value {
        Value::String(text) => Ok(text.to_string()),
        Value::Array(items) => Ok(string(items.iter().next())?.to_owned()),
        _ => Err(Failure::Undefined),
    };
    match value {
        Some(single @ Value::String(name)) => Ok(vec![(name.to_string(), single.clone())]),
        Some(Value::Array(items)) => {
            items.iter().enumerate().map(|(index, item)| Ok((text(item)?, Value::from(index)))).collect()
        }
        Some(Value::Set(items)) => items.iter().map(|item| Ok((text(item)?, item.clone()))).collect(),
        Some(Value::Object(fields)) => {
            fields.iter().map(|(key, item)| Ok((text(item)?, key.clone()))).collect()
        }
        _ => Ok(Vec::new()),
    }
}

fn cidr_contains_matches(arguments: &[Value]) -> Outcome {
    let (outer, inner) = (operand(arguments.first())?, operand(arguments.get(1))?);
    let mut found = BTreeSet::new();
    for (network, network_index) in &outer {
        for (address, address_index) in &inner {
            if contains(network, address)? {
                found.insert(Value::from(vec![network_index.clone(), address_index.clone()]));
            }
        }
    }
    Ok(Value::from(found))
}

fn cidr_expand(arguments: &[Value]) -> Outcome {
    let network = network(string(arguments.first())?)?;
    let host_bits = network.max_prefix_len() - network.prefix_len();
    if host_bits > 20 {
        let message = format!("the network `{network}` has more than {MAX_ADDRESSES} addresses");
        return Err(Failure::Stop(message));
    }
    let count = 1_u128 << host_bits;
    let addresses: BTreeSet<Value> = match network.network() {
        IpAddr::V4(first) => {
            let first = u32::from(first);
            (0..count)
                .map(|offset| Ipv4Addr::from(first.wrapping_add(u32::try_from(offset).unwrap_or(0))))
                .map(|address| Value::from(address.to_string()))
                .collect()
        }
        IpAddr::V6(first) => {
            let first = u128::from(first);
            (0..count)
                .map(|offset| std::net::Ipv6Addr::from(first.wrapping_add(offset)))
                .map(|address| Value::from(address.to_string()))
                .collect()
        }
    };
    Ok(Value::from(addresses))
}

/// A bare IPv4 address stands for its class A, B or C network, as in Go.
fn merge_member(value: &Value) -> Result<IpNet, Failure> {
    let text = string(Some(value))?;
    match address(text) {
        Some(IpAddr::V4(address)) => {
            let prefix = match address.octets() {
                [first, ..] if first < 128 => 8,
                [first, ..] if first < 192 => 16,
                _ => 24,
            };
            Ok(IpNet::V4(undefined(Ipv4Net::new(address, prefix))?.trunc()))
        }
        Some(IpAddr::V6(_)) => Err(Failure::Undefined),
        None => network(text),
    }
}

fn cidr_merge(arguments: &[Value]) -> Outcome {
    let members: Vec<IpNet> = match arguments.first() {
        Some(Value::Array(items)) => items.iter().map(merge_member).collect::<Result<_, _>>()?,
        Some(Value::Set(items)) => items.iter().map(merge_member).collect::<Result<_, _>>()?,
        _ => return Err(Failure::Undefined),
    };
    let fours: Vec<Ipv4Net> = members.iter().filter_map(ipv4).collect();
    let sixes: Vec<Ipv6Net> = members.iter().filter_map(ipv6).collect();
    let merged = Ipv4Net::aggregate(&fours).into_iter().map(|network| network.to_string());
    let merged = merged.chain(Ipv6Net::aggregate(&sixes).into_iter().map(|network| network.to_string()));
    Ok(Value::from(merged.map(Value::from).collect::<BTreeSet<_>>()))
}

fn ipv4(network: &IpNet) -> Option<Ipv4Net> {
    match network {
        IpNet::V4(network) => Some(*network),
        IpNet::V6(_) => None,
    }
}

fn ipv6(network: &IpNet) -> Option<Ipv6Net> {
    match network {
        IpNet::V6(network) => Some(*network),
        IpNet::V4(_) => None,
    }
}
