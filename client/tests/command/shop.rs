//! What a shop asks: fields from a table and back, filters, counts, groups, pages, deletion by filter.

use crate::{lapel, photo, sound};
use lapel_client::v1;
use lapel_client::v1::field_value::Kind;
use lapel_tests::TestServer;
use std::path::Path;

/// Four items of two products.
const TABLE: &str =
    "image,color,field:product:keyword,field:price:number,field:in_stock:boolean,field:since:timestamp
a.jpg,red,shirt,49.90,true,2026-11-30
b.jpg,blue,shirt,20,false,2026-01-02T03:04:05Z
c.jpg,red,dress,80.5,true,
d.jpg,green,dress,,true,
";

/// A server with the shop's items.
async fn shop(folder: &Path) -> TestServer {
    let server = TestServer::start_with(|config| config.model.heads.truncate(1)).await;
    for name in ["a.jpg", "b.jpg", "c.jpg", "d.jpg"] {
        std::fs::copy(photo(), folder.join(name)).expect("copied");
    }
    std::fs::write(folder.join("labels.csv"), TABLE).expect("written");
    sound(&server, &["items", "import", folder.to_str().expect("UTF-8")]).await;
    server
}

async fn item(server: &TestServer, id: &str) -> v1::Item {
    let request = v1::GetItemRequest { id: id.to_owned() };
    let answer = server.client().await.catalog.get_item(request).await.expect("read").into_inner();
    answer.item.expect("an item")
}

#[tokio::test]
async fn fields_come_from_a_table_are_updated_without_images_and_survive_an_export() {
    let folder = tempfile::tempdir().expect("folder");
    let server = shop(folder.path()).await;
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let a = item(&server, "a").await;
    assert_eq!(a.fields["price"].kind, Some(Kind::Number(49.9)));
    assert_eq!((a.fields.len(), a.labels.len()), (4, 1), "columns of fields are no labels");
    let run = sound(&server, &["items", "show", "b"]).await;
    assert!(run.out.contains("since: 2026-01-02T03:04:05Z"), "{}", run.out);
    std::fs::write(path("stock.csv"), "id,field:price:number\na,45\nb,\nnowhere,5\nc,cheap\n")
        .expect("written");
    let run = lapel(&server.address, &["items", "update", &path("stock.csv")]).await;
    assert_eq!(run.code, Some(1), "{}{}", run.out, run.err);
    assert!(run.out.contains("updated 1 items, refused 3"), "{}", run.out);
    assert!(run.out.contains("nowhere") && run.out.contains("is not a number"), "{}", run.out);
    let updated = item(&server, "a").await;
    assert_eq!(updated.fields["price"].kind, Some(Kind::Number(45.0)));
    assert!(
        updated.has_image && updated.fields["in_stock"] == a.fields["in_stock"] && updated.labels == a.labels
    );
    std::fs::write(path("stock.csv"), "id,field:price:number\nb,\n").expect("written");
    sound(&server, &["items", "update", &path("stock.csv"), "--clear-empty"]).await;
    assert!(!item(&server, "b").await.fields.contains_key("price"));
    let run =
        sound(&server, &["items", "update", "--set", "in_stock=false", "--where", "color = green"]).await;
    assert!(run.out.contains("updated 1 items, refused 0"), "{}", run.out);
    assert_eq!(item(&server, "d").await.fields["in_stock"].kind, Some(Kind::Boolean(false)));
    sound(&server, &["items", "export", &path("exported")]).await;
    sound(&server, &["items", "delete", "a", "b", "c", "d"]).await;
    sound(&server, &["items", "import", &path("exported")]).await;
    assert_eq!(item(&server, "a").await.fields, updated.fields);
    server.finish().await;
}

#[tokio::test]
async fn what_passes_a_filter_is_listed_counted_and_deleted() {
    let folder = tempfile::tempdir().expect("folder");
    let server = shop(folder.path()).await;
    let run = sound(&server, &["items", "list", "--where", "in_stock = true and price < 50"]).await;
    assert!(
        run.out.contains("│ a ") && !run.out.contains("│ b ") && !run.out.contains("│ d "),
        "{}",
        run.out
    );
    let count =
        ["items", "count", "--where", "not color = green", "--facet", "product", "--facet", "price=30,60"];
    let run = sound(&server, &count).await;
    for told in ["3 of 4 items", "shirt", "30 to below 60", "price (20 to 80.5)"] {
        assert!(run.out.contains(told), "{told}: {}", run.out);
    }
    let run = lapel(&server.address, &["items", "count", "--where", "price < cheap"]).await;
    assert_eq!(run.code, Some(1), "{}", run.out);
    assert!(run.err.contains("\n  price < cheap\n          ^"), "{}", run.err);
    let delete = ["items", "delete", "--where", "missing price or price > 50"];
    let run = lapel(&server.address, &delete).await;
    assert_eq!(run.code, Some(1), "{}{}", run.out, run.err);
    assert!(run.err.contains("2 items pass: c, d") && run.err.contains("--yes"), "{}", run.err);
    let run = sound(&server, &[&delete[..], &["--dry-run"]].concat()).await;
    assert!(run.out.contains("2 items pass: c, d"), "{}", run.out);
    let run = sound(&server, &[&delete[..], &["--yes"]].concat()).await;
    assert!(run.out.contains("deleted 2"), "{}", run.out);
    assert!(sound(&server, &["items", "count"]).await.out.contains("2 of 2 items"));
    assert!(sound(&server, &["items", "stats"]).await.out.contains("timestamp"));
    server.finish().await;
}

#[tokio::test]
async fn a_search_groups_counts_and_goes_on_page_by_page() {
    let folder = tempfile::tempdir().expect("folder");
    let server = shop(folder.path()).await;
    let page = folder.path().join("page.html");
    let page_text = page.to_str().expect("UTF-8");
    let grouped =
        ["search", "item:a", "--group-by", "product", "--per-group", "2", "--where", "in_stock = true"];
    let more = ["--facet", "color", "--show", "price", "--html", page_text];
    let run = sound(&server, &[&grouped[..], &more].concat()).await;
    for told in ["product", "shirt", "dress", "80.5", "3 items pass", "green"] {
        assert!(run.out.contains(told), "{told}: {}", run.out);
    }
    let html = std::fs::read_to_string(&page).expect("a page");
    assert!(html.contains("group dress") && html.contains("counts among all that pass"));
    let mut found = Vec::new();
    let mut token = String::new();
    for _ in 0..3 {
        let mut arguments = vec!["search", "item:a", "-k", "2", "--pages", "1"];
        if !token.is_empty() {
            arguments.extend(["--page", token.as_str()]);
        }
        let run = sound(&server, &arguments).await;
        let rows = run.out.lines().filter_map(|line| line.split_whitespace().nth(2));
        found.extend(rows.filter(|cell| ["a", "b", "c", "d"].contains(cell)).map(str::to_owned));
        let Some((_, next)) = run.out.split_once("--page ") else { break };
        token = next.lines().next().expect("a token").to_owned();
    }
    found.sort();
    assert_eq!(found, ["a", "b", "c", "d"], "each once");
    let run = sound(&server, &["search", "item:a", "-k", "2", "--pages", "2"]).await;
    assert!(run.out.contains("│ 4 "), "{}", run.out);
    let run = sound(&server, &["search", "item:a", "-k", "2", "--offset", "1", "--diverse", "0.5"]).await;
    assert!(run.out.contains("│ 3 ") && !run.out.contains("│ 1 "), "{}", run.out);
    server.finish().await;
}
