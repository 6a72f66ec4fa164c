// The console: a page a task, the address says which.
import { render } from "preact";
import { useState } from "preact/hooks";
import { Dialog } from "./Dialog";
import { Loading } from "./Loading";
import { PAGES, address, link, type Page } from "./address";
import { hasToken, signIn, signOut, tokenWanted } from "./api";
import { readCatalog } from "./catalog";
import { CataloguePage } from "./catalogue/CataloguePage";
import { HeadsPage } from "./heads/HeadsPage";
import { SearchPage } from "./search/SearchPage";
import { search, write } from "./search/state";
import { ServerPage } from "./server/ServerPage";
import { TeachPage } from "./teach/TeachPage";
import "./style.css";

const NAMES: Record<Page, string> = { search: "Search", teach: "Teach", heads: "Heads", catalogue: "Catalogue", server: "Server" };
const SHOWN: Record<Page, () => preact.JSX.Element> = {
  search: SearchPage,
  teach: TeachPage,
  heads: HeadsPage,
  catalogue: CataloguePage,
  server: ServerPage,
};

function Console() {
  const { page } = address.value;
  const Shown = SHOWN[page];
  document.title = `${NAMES[page]} · Lapel`;
  return (
    <>
      <button class="skip" onClick={() => document.querySelector("main")?.focus()}>
        Skip to the page
      </button>
      <header class="masthead">
        <span class="brand">Lapel</span>
        <nav aria-label="Pages">
          {PAGES.map((name) => (
            <a key={name} href={name === "search" ? link(name, write(search.value)) : link(name)} aria-current={name === page ? "page" : undefined}>
              {NAMES[name]}
            </a>
          ))}
        </nav>
        {hasToken() && (
          <button class="plain" onClick={() => void signOut()}>
            Sign out
          </button>
        )}
      </header>
      <main tabIndex={-1}>
        <h1 class="hidden">{NAMES[page]}</h1>
        <Shown />
      </main>
      <Loading />
      {tokenWanted.value && <TokenDialog />}
    </>
  );
}

function TokenDialog() {
  const [refusal, setRefusal] = useState("");
  return (
    <Dialog title="Token" close={() => (tokenWanted.value = false)}>
      <form
        class="stack"
        onSubmit={(event) => {
          event.preventDefault();
          const token = new FormData(event.currentTarget).get("token");
          if (typeof token === "string") void signIn(token).then(setRefusal, () => setRefusal("The server cannot be reached, or this is no token."));
        }}
      >
        <label for="token">
          {hasToken() ? "The server does not know the token of this session any more." : "The server wants a token."} It is
          kept until this tab is closed.
        </label>
        <input id="token" name="token" type="password" required autocomplete="current-password" spellcheck={false} />
        <p role="alert" class="bad">
          {refusal}
        </p>
        <button>Sign in</button>
      </form>
    </Dialog>
  );
}

// A file that misses its place does not take the page away.
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => event.preventDefault());

void readCatalog();
render(<Console />, document.body);
