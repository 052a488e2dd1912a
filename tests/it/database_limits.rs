//! Databases whose limits are smaller than what the server promises.

use crate::{
    harness::{connect_mysql, eventually, problem},
    private_database::PrivateDatabase,
    process::Process,
};
use sqlx::Executor;

#[tokio::test]
#[ignore = "needs a database server: make test"]
async fn limits_that_are_too_small_are_named_and_a_text_that_does_not_fit_is_refused() {
    let database = PrivateDatabase::new();
    database.start().await;
    let mut root =
        connect_mysql(&database.url().replace("/chat", "").parse().unwrap()).await.unwrap();
    root.execute("set global max_allowed_packet = 65536").await.unwrap();
    root.execute("set global max_connections = 15").await.unwrap();
    let flags = ["--database-url", &database.url(), "--database-max-connections", "20"];
    let server = Process::start(&flags).await;
    server.wait_until_ready().await;

    for (size, status) in [(30_000, 201), (60_000, 422)] {
        let response = server.post("bob", &"x".repeat(size)).send().await.unwrap();
        assert_eq!(response.status(), status, "{size}");
        if status == 422 {
            let problem = problem(response).await;
            assert_eq!(problem["code"], "text_too_long");
            assert!(problem["detail"].as_str().unwrap().contains("bytes"), "{problem}");
        }
    }
    let limits = ["max_allowed_packet is 65536", "max_connections is 15"];
    let warnings = server.json("/readyz").await["checks"][0]["warnings"].clone();
    for (number, limit) in limits.into_iter().enumerate() {
        assert!(warnings[number].as_str().unwrap().contains(limit), "{warnings}");
        let lines = || server.log().iter().filter(|line| line.to_string().contains(limit)).count();
        eventually("the log names the limit", || async { lines() == 1 }).await;
    }
}
