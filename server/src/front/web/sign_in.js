// Shows a token to the server, which answers with a cookie for the console's files, and keeps it for the session of this tab.
const alert = document.querySelector("[role=alert]");

document.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  alert.textContent = "";
  const token = document.querySelector("#token").value.trim();
  try {
    const answer = await fetch("sign-in", { method: "POST", headers: { authorization: `Bearer ${token}` } });
    if (!answer.ok) {
      alert.textContent = await answer.text();
      return;
    }
  } catch {
    alert.textContent = "The server cannot be reached, or this is no token.";
    return;
  }
  sessionStorage.setItem("lapel.token", token);
  if (location.pathname.endsWith("/sign-in")) {
    location.replace("./");
  } else {
    location.reload();
  }
});
