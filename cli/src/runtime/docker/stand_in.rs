//! An engine for tests: it answers what it was given, and keeps what it was asked.

use super::Docker;
use crate::runtime::ports::Ports;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Answers by method and path without version and query; whatever else is asked is "no such object".
pub(crate) struct StandIn {
    url: String,
    heard: Arc<Mutex<Vec<String>>>,
}

impl StandIn {
    pub(crate) async fn start(answers: Vec<(&'static str, &'static str)>) -> StandIn {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (answers, told) = (Arc::new(answers), heard.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, answers.clone(), told.clone()));
            }
        });
        StandIn { url, heard }
    }

    pub(crate) fn docker(&self) -> Docker {
        let api = bollard::Docker::connect_with_http(&self.url, 10, bollard::API_DEFAULT_VERSION).unwrap();
        Docker {
            api,
            url: self.url.clone(),
            version: "0".into(),
            is_of_swarm: false,
            image: tokio::sync::OnceCell::new(),
            ports: Ports::default(),
            making_network: tokio::sync::Mutex::new(()),
            authorities: tokio::sync::Mutex::default(),
        }
    }

    /// What was asked, in its order.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    answers: Arc<Vec<(&'static str, &'static str)>>,
    heard: Arc<Mutex<Vec<String>>>,
) {
    let mut bytes = Vec::new();
    loop {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n");
        let Some(end) = end else {
            let mut piece = [0; 4096];
            match stream.read(&mut piece).await {
                Ok(n @ 1..) => bytes.extend_from_slice(&piece[..n]),
                _ => return,
            }
            continue;
        };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
        let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")?.trim().parse().ok());
        let mut rest = bytes.split_off(end + 4);
        while rest.len() < length.unwrap_or(0) {
            let mut piece = [0; 4096];
            match stream.read(&mut piece).await {
                Ok(n @ 1..) => rest.extend_from_slice(&piece[..n]),
                _ => return,
            }
        }
        bytes = rest.split_off(length.unwrap_or(0));
        let mut words = head.split(' ');
        let (method, path) = (words.next().unwrap().to_uppercase(), words.next().unwrap());
        let path = path.split('?').next().unwrap();
        let path = path.strip_prefix("/v1.").and_then(|p| p.split_once('/')).map_or(path, |(_, rest)| rest);
        let asked = format!("{method} /{}", path.trim_start_matches('/'));
        heard.lock().unwrap().push(asked.clone());
        let found = answers.iter().find(|(request, _)| *request == asked);
        let (status, body) = match found {
            Some((_, "")) => ("204 No Content", ""),
            Some((_, body)) => ("200 OK", *body),
            None => ("404 Not Found", r#"{"message":"no such object"}"#),
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}
