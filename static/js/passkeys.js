// Passkeys are asked for by the sign-in library's own script; here is what a person is told about it.
(() => {
  "use strict";

  const PROBLEMS = {
    NotAllowedError: "No passkey was used: it was not confirmed in time, or there is none for this address.",
    InvalidStateError: "This device holds a passkey for your account already.",
    SecurityError: "Browsers do not allow passkeys at this address.",
  };

  if (window.PublicKeyCredential) {
    for (const form of document.querySelectorAll("[data-needs-passkeys]")) form.hidden = false;
  }

  document.addEventListener("allauth.error", (event) => {
    const problem = document.querySelector("[data-passkey-problem]");
    if (!problem) return;
    event.preventDefault();
    const words = PROBLEMS[event.detail.exception?.name] || "The passkey could not be used. Sign in another way.";
    problem.querySelector("[data-words]").textContent = words;
    problem.hidden = false;
  });
})();
