//! Who may call what: the caller table, made of the one table of rules.

use sallyport_chassis::{Access, CallerTable};

use crate::domain::permission::{RULES, Rule};

/// The table for the listener. Permissions are checked behind it, by the use cases.
pub fn table() -> CallerTable {
    let rows: Vec<(&'static str, Access)> = RULES
        .iter()
        .map(|(path, rule)| (*path, access(*rule)))
        .collect();
    CallerTable::new("gateway", &rows)
}

fn access(rule: Rule) -> Access {
    match rule {
        Rule::Services(names) => Access::Services(names),
        Rule::Operator => Access::Operator,
        Rule::Own | Rule::OwnOr(_) | Rule::Needs(_) => Access::Bearer,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message;

    use super::*;

    #[test]
    fn every_rpc_of_the_package_has_one_row_and_no_row_is_of_another() {
        let set = prost_types::FileDescriptorSet::decode(sallyport_proto::DESCRIPTORS).unwrap();
        let mut rpcs = BTreeSet::new();
        for file in set
            .file
            .iter()
            .filter(|f| f.package() == "sallyport.admin.v1")
        {
            for service in &file.service {
                for method in &service.method {
                    rpcs.insert(format!(
                        "/{}.{}/{}",
                        file.package(),
                        service.name(),
                        method.name()
                    ));
                }
            }
        }
        let rows: BTreeSet<String> = RULES.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(rows.len(), RULES.len(), "a path stands twice");
        assert_eq!(rows, rpcs);
        let table = table();
        assert!(rpcs.iter().all(|path| table.access(path).is_some()));
    }
}
