//! Orders that tests place; pure: no client, no clock.

use serde_json::{Value, json};

/// An order of the mail service on the smallest plan. Nothing protects it, and nothing is left of it when it is deleted.
#[must_use]
pub fn mail(name: &str) -> Value {
    let parameters = json!({"domain": format!("{name}.example")});
    order(name, "silver", json!({"name": "mail", "version": "1.8.0"}), parameters)
}

/// An order of the ERP in its smallest edition, on a plan that has room for it. Nothing protects it, and nothing is
/// left of it when it is deleted.
#[must_use]
pub fn erp(name: &str) -> Value {
    order(name, "gold", json!({"name": "erp", "version": "4.2.1"}), json!({"edition": "standard"}))
}

/// The order with one field set, such as `spec.network.hosts`. Objects on the way to it are made; everything else on
/// the way is a mistake of the test and ends it.
#[must_use]
pub fn with(mut order: Value, field: &str, value: Value) -> Value {
    let mut here = &mut order;
    for step in field.split('.') {
        here = &mut here[step];
    }
    *here = value;
    order
}

fn order(name: &str, plan: &str, application: Value, parameters: Value) -> Value {
    json!({
        "apiVersion": "tenantry.io/v1alpha1",
        "kind": "TenantSubscription",
        "metadata": {"name": name},
        "spec": {
            "organization": {"name": format!("{name} Ltd"), "country": "DE"},
            "contacts": [{"role": "Technical", "name": "Tess Tester", "email": format!("tess@{name}.example")}],
            "planRef": {"name": plan},
            "applicationRef": application,
            "parameters": parameters,
            "deletionPolicy": "Delete",
            "deletionProtection": false,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_set_and_the_rest_stays() {
        let order = with(mail("acme"), "spec.network.hosts", json!(["a.example"]));
        assert_eq!(order["spec"]["network"], json!({"hosts": ["a.example"]}));
        assert_eq!(with(order, "spec.network", Value::Null)["spec"]["planRef"], json!({"name": "silver"}));
    }
}
