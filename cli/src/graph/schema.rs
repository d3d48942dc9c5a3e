//! Indexes and constraints of a server, as the statements that make them again.

use super::literal::name;
use crate::query::{Client, Map, PackValue, QueryError, QueryResult};

/// Whose words a server uses for its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// mgnode and Memgraph.
    Memgraph,
    /// Neo4j 5.
    Neo4j,
}

/// What makes a schema again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    /// Statements that must come before any data: enums.
    pub before: Vec<String>,
    /// Indexes and constraints, and behind them triggers, which must not run for what is copied.
    pub after: Vec<String>,
    /// What no statement is known for, in words.
    pub left_out: Vec<String>,
}

impl Dialect {
    /// Returns the dialect of the server that a client talks to.
    pub fn of(client: &Client) -> Dialect {
        // Memgraph calls itself compatible with Neo4j, by a name that begins the same.
        let name = client.server();
        match name.starts_with("Neo4j/") && !name.contains("Memgraph") {
            true => Dialect::Neo4j,
            false => Dialect::Memgraph,
        }
    }
}

/// Reads the schema. Not part of a transaction: servers refuse that.
pub async fn read(client: &mut Client, dialect: Dialect) -> Result<Schema, QueryError> {
    let mut schema = Schema::default();
    match dialect {
        Dialect::Memgraph => {
            let indexes = client.run("SHOW INDEX INFO;", Map::new()).await?;
            for row in named(&indexes) {
                schema.memgraph_index(&row);
            }
            let constraints = client.run("SHOW CONSTRAINT INFO;", Map::new()).await?;
            for row in named(&constraints) {
                schema.memgraph_constraint(&row);
            }
            // Older servers know neither of these.
            if let Some(enums) = optional(client, "SHOW ENUMS;").await? {
                for row in named(&enums) {
                    schema.memgraph_enum(&row);
                }
            }
            if let Some(triggers) = optional(client, "SHOW TRIGGERS;").await? {
                for row in named(&triggers) {
                    schema.memgraph_trigger(&row);
                }
            }
        }
        Dialect::Neo4j => {
            const INDEXES: &str = "SHOW INDEXES YIELD name, type, entityType, labelsOrTypes, properties, \
                owningConstraint";
            const CONSTRAINTS: &str = "SHOW CONSTRAINTS YIELD name, type, labelsOrTypes, properties";
            for row in named(&client.run(INDEXES, Map::new()).await?) {
                schema.neo4j_index(&row);
            }
            for row in named(&client.run(CONSTRAINTS, Map::new()).await?) {
                schema.neo4j_constraint(&row);
            }
        }
    }
    Ok(schema)
}

async fn optional(client: &mut Client, query: &str) -> Result<Option<QueryResult>, QueryError> {
    match client.run(query, Map::new()).await {
        Ok(result) => Ok(Some(result)),
        Err(QueryError::Server { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn named(result: &QueryResult) -> Vec<Map> {
    let rows = result.rows.iter();
    rows.map(|row| result.fields.iter().cloned().zip(row.iter().cloned()).collect()).collect()
}

fn text(row: &Map, names: &[&str]) -> String {
    let found = names.iter().find_map(|n| row.get(n));
    found.and_then(PackValue::as_str).unwrap_or_default().to_owned()
}

/// A column that is a text, a list of texts, or null.
fn texts(row: &Map, column: &str) -> Vec<String> {
    match row.get(column) {
        Some(PackValue::String(one)) => vec![one.clone()],
        Some(PackValue::List(items)) => items.iter().filter_map(|i| i.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    }
}

fn names(texts: &[String]) -> String {
    texts.iter().map(|t| name(t)).collect::<Vec<_>>().join(", ")
}

fn unique(label: &str, properties: &[String]) -> String {
    let properties: Vec<String> = properties.iter().map(|p| format!("n.{}", name(p))).collect();
    format!("CREATE CONSTRAINT ON (n:{}) ASSERT {} IS UNIQUE", name(label), properties.join(", "))
}

fn exists(label: &str, property: &str) -> String {
    format!("CREATE CONSTRAINT ON (n:{}) ASSERT EXISTS (n.{})", name(label), name(property))
}

impl Schema {
    fn memgraph_index(&mut self, row: &Map) {
        let kind = text(row, &["index type"]);
        let (label, properties) = (text(row, &["label"]), texts(row, "property"));
        if label == super::cypherl::MARK {
            // Of an import that is under way, or was broken off.
            return;
        }
        let statement = match (kind.as_str(), properties.as_slice()) {
            ("label", _) => format!("CREATE INDEX ON :{}", name(&label)),
            ("label+property" | "label+properties", [_, ..]) => {
                format!("CREATE INDEX ON :{}({})", name(&label), names(&properties))
            }
            ("edge-type", _) => format!("CREATE EDGE INDEX ON :{}", name(&label)),
            ("edge-type+property", [_, ..]) => {
                format!("CREATE EDGE INDEX ON :{}({})", name(&label), names(&properties))
            }
            ("edge-property", [property]) => format!("CREATE GLOBAL EDGE INDEX ON :({})", name(property)),
            ("point", [property]) => format!("CREATE POINT INDEX ON :{}({})", name(&label), name(property)),
            _ => return self.left_out.push(format!("{kind} index on :{label}({})", properties.join(", "))),
        };
        self.after.push(statement);
    }

    fn memgraph_constraint(&mut self, row: &Map) {
        let kind = text(row, &["constraint type"]);
        let (label, properties) = (text(row, &["label"]), texts(row, "properties"));
        let statement = match (kind.as_str(), properties.as_slice()) {
            ("unique", [_, ..]) => unique(&label, &properties),
            ("exists", [property]) => exists(&label, property),
            ("data_type", [property]) => format!(
                "CREATE CONSTRAINT ON (n:{}) ASSERT n.{} IS TYPED {}",
                name(&label),
                name(property),
                text(row, &["data_type"])
            ),
            _ => {
                return self
                    .left_out
                    .push(format!("{kind} constraint on :{label}({})", properties.join(", ")));
            }
        };
        self.after.push(statement);
    }

    fn memgraph_enum(&mut self, row: &Map) {
        let values: Vec<String> = texts(row, "Enum Values").iter().map(|v| name(v)).collect();
        let statement =
            format!("CREATE ENUM {} VALUES {{ {} }}", name(&text(row, &["Enum Name"])), values.join(", "));
        self.before.push(statement);
    }

    fn memgraph_trigger(&mut self, row: &Map) {
        let column = |column| text(row, &[column]);
        let event = match column("event type") {
            any if any == "ANY" => String::new(),
            event => format!(" ON {event}"),
        };
        self.after.push(format!(
            "CREATE TRIGGER {}{event} {} EXECUTE {}",
            name(&column("trigger name")),
            column("phase"),
            column("statement").trim_end_matches([';', ' ', '\n'])
        ));
    }

    fn neo4j_index(&mut self, row: &Map) {
        let (kind, entity) = (text(row, &["type"]), text(row, &["entityType"]));
        let (labels, properties) = (texts(row, "labelsOrTypes"), texts(row, "properties"));
        let owned = row.get("owningConstraint").is_some_and(|owner| !owner.is_null());
        let statement = match (kind.as_str(), entity.as_str(), labels.as_slice(), properties.as_slice()) {
            // The server's own; and what a constraint brings along.
            ("LOOKUP", ..) => return,
            _ if owned => return,
            ("RANGE" | "BTREE" | "TEXT", "NODE", [label], [_, ..]) => {
                format!("CREATE INDEX ON :{}({})", name(label), names(&properties))
            }
            ("RANGE" | "BTREE" | "TEXT", "RELATIONSHIP", [kind], [_, ..]) => {
                format!("CREATE EDGE INDEX ON :{}({})", name(kind), names(&properties))
            }
            ("POINT", "NODE", [label], [property]) => {
                format!("CREATE POINT INDEX ON :{}({})", name(label), name(property))
            }
            _ => {
                return self.left_out.push(format!(
                    "{} index {} on {}({})",
                    kind.to_lowercase(),
                    text(row, &["name"]),
                    labels.join(", "),
                    properties.join(", ")
                ));
            }
        };
        self.after.push(statement);
    }

    fn neo4j_constraint(&mut self, row: &Map) {
        let kind = text(row, &["type"]);
        let (labels, properties) = (texts(row, "labelsOrTypes"), texts(row, "properties"));
        match (kind.as_str(), labels.as_slice(), properties.as_slice()) {
            ("UNIQUENESS" | "NODE_PROPERTY_UNIQUENESS", [label], [_, ..]) => {
                self.after.push(unique(label, &properties));
            }
            ("NODE_PROPERTY_EXISTENCE", [label], [property]) => self.after.push(exists(label, property)),
            ("NODE_KEY", [label], [_, ..]) => {
                self.after.extend(properties.iter().map(|p| exists(label, p)));
                self.after.push(unique(label, &properties));
            }
            _ => self.left_out.push(format!(
                "{} constraint {} on {}({})",
                kind.to_lowercase().replace('_', " "),
                text(row, &["name"]),
                labels.join(", "),
                properties.join(", ")
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(items: &[&str]) -> PackValue {
        PackValue::List(items.iter().map(|i| PackValue::from(*i)).collect())
    }

    #[test]
    fn memgraphs_rows_become_its_statements() {
        let mut schema = Schema::default();
        let index = |kind: &str, label: &str, property: PackValue| {
            Map::new().with("index type", kind).with("label", label).with("property", property)
        };
        schema.memgraph_index(&index("label", "P", PackValue::Null));
        schema.memgraph_index(&index("label+property", "P", "a".into()));
        schema.memgraph_index(&index("label+property", "P", list(&["a", "b`"])));
        schema.memgraph_index(&index("edge-type", "K", PackValue::Null));
        schema.memgraph_index(&index("edge-type+property", "K", "since".into()));
        schema.memgraph_index(&index("edge-type+property", "K", list(&["since", "until"])));
        schema.memgraph_index(&index("label+property", "__mg_vertex__", list(&["__mg_id__"])));
        schema.memgraph_index(&index("vector", "P", "v".into()));
        let constraint = |kind: &str, properties: PackValue, data: &str| {
            Map::new()
                .with("constraint type", kind)
                .with("label", "P")
                .with("properties", properties)
                .with("data_type", data)
        };
        schema.memgraph_constraint(&constraint("exists", "c".into(), ""));
        schema.memgraph_constraint(&constraint("unique", list(&["a", "b"]), ""));
        schema.memgraph_constraint(&constraint("data_type", "c".into(), "STRING"));
        let trigger = |event: &str| {
            Map::new()
                .with("trigger name", "t")
                .with("statement", "CREATE (:B);")
                .with("event type", event)
                .with("phase", "AFTER COMMIT")
        };
        schema.memgraph_trigger(&trigger("ANY"));
        schema.memgraph_trigger(&trigger("--> CREATE"));
        assert_eq!(
            schema.after,
            [
                "CREATE INDEX ON :`P`",
                "CREATE INDEX ON :`P`(`a`)",
                "CREATE INDEX ON :`P`(`a`, `b```)",
                "CREATE EDGE INDEX ON :`K`",
                "CREATE EDGE INDEX ON :`K`(`since`)",
                "CREATE EDGE INDEX ON :`K`(`since`, `until`)",
                "CREATE CONSTRAINT ON (n:`P`) ASSERT EXISTS (n.`c`)",
                "CREATE CONSTRAINT ON (n:`P`) ASSERT n.`a`, n.`b` IS UNIQUE",
                "CREATE CONSTRAINT ON (n:`P`) ASSERT n.`c` IS TYPED STRING",
                "CREATE TRIGGER `t` AFTER COMMIT EXECUTE CREATE (:B)",
                "CREATE TRIGGER `t` ON --> CREATE AFTER COMMIT EXECUTE CREATE (:B)",
            ]
        );
        assert_eq!(schema.left_out, ["vector index on :P(v)"]);
        let trigger = |name: &str, event: &str, phase: &str| {
            Map::new()
                .with("trigger name", name)
                .with("statement", "CREATE (:Seen)")
                .with("privilege context", PackValue::Null)
                .with("event type", event)
                .with("phase", phase)
                .with("owner", PackValue::Null)
        };
        let mut schema = Schema::default();
        schema.memgraph_trigger(&trigger("t", "ANY", "AFTER COMMIT"));
        schema.memgraph_trigger(&trigger("u", "--> CREATE", "BEFORE COMMIT"));
        assert_eq!(
            schema.after,
            [
                "CREATE TRIGGER `t` AFTER COMMIT EXECUTE CREATE (:Seen)",
                "CREATE TRIGGER `u` ON --> CREATE BEFORE COMMIT EXECUTE CREATE (:Seen)",
            ]
        );
    }

    #[test]
    fn neo4js_rows_become_the_nearest_statements() {
        let mut schema = Schema::default();
        let index = |kind: &str, entity: &str, owner: PackValue| {
            Map::new()
                .with("name", "i")
                .with("type", kind)
                .with("entityType", entity)
                .with("labelsOrTypes", list(&["P"]))
                .with("properties", list(&["a"]))
                .with("owningConstraint", owner)
        };
        schema.neo4j_index(&index("LOOKUP", "NODE", PackValue::Null));
        schema.neo4j_index(&index("RANGE", "NODE", PackValue::Null));
        schema.neo4j_index(&index("RANGE", "RELATIONSHIP", PackValue::Null));
        schema.neo4j_index(&index("RANGE", "NODE", "constraint_1".into()));
        schema.neo4j_index(&index("FULLTEXT", "NODE", PackValue::Null));
        let constraint = |kind: &str, properties: &[&str]| {
            Map::new()
                .with("name", "c")
                .with("type", kind)
                .with("labelsOrTypes", list(&["P"]))
                .with("properties", list(properties))
        };
        schema.neo4j_constraint(&constraint("UNIQUENESS", &["a"]));
        schema.neo4j_constraint(&constraint("NODE_KEY", &["a", "b"]));
        schema.neo4j_constraint(&constraint("RELATIONSHIP_PROPERTY_EXISTENCE", &["a"]));
        assert_eq!(
            schema.after,
            [
                "CREATE INDEX ON :`P`(`a`)",
                "CREATE EDGE INDEX ON :`P`(`a`)",
                "CREATE CONSTRAINT ON (n:`P`) ASSERT n.`a` IS UNIQUE",
                "CREATE CONSTRAINT ON (n:`P`) ASSERT EXISTS (n.`a`)",
                "CREATE CONSTRAINT ON (n:`P`) ASSERT EXISTS (n.`b`)",
                "CREATE CONSTRAINT ON (n:`P`) ASSERT n.`a`, n.`b` IS UNIQUE",
            ]
        );
        assert_eq!(
            schema.left_out,
            ["fulltext index i on P(a)", "relationship property existence constraint c on P(a)"]
        );
    }
}
