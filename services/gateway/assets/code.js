// The code page, live: how far the message is, the countdown to "Send it again", the end of the code.
// Without it the same stands in a frame that refreshes itself.
"use strict";

const state = document.getElementById("state");
if (state) {
  const text = document.getElementById("state-text");
  const steps = state.querySelectorAll(".progress li");
  const tries = document.getElementById("tries");
  const expiry = document.getElementById("expiry");
  const resend = document.getElementById("resend");
  const spent = document.getElementById("spent");
  const over = document.getElementById("over");
  const WARNING = 150;

  // Seconds that the server counted, against a clock that no one sets.
  let at = performance.now();
  let expiresIn = Number(state.dataset.expiresIn);
  let resendIn = Number(state.dataset.resendIn);
  let sendsLeft = Number(state.dataset.sendsLeft);
  let said = "";

  const left = (seconds) => Math.max(0, Math.ceil(seconds - (performance.now() - at) / 1000));
  const clock = (seconds) =>
    `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  const say = (node, words) => {
    if (node.textContent !== words) node.textContent = words;
  };

  const tick = () => {
    const wait = left(resendIn);
    const life = left(expiresIn);
    resend.disabled = wait > 0 || life === 0 || sendsLeft === 0;
    spent.hidden = sendsLeft > 0 || life === 0;
    say(resend, wait > 0 && life > 0 && sendsLeft > 0
      ? resend.dataset.waiting.replace("{}", clock(wait))
      : resend.dataset.ready);
    if (life === 0) {
      say(expiry, state.dataset.expired);
      document.getElementById("code-form").hidden = true;
      resend.hidden = true;
      over.hidden = false;
      clearInterval(timer);
      events.close();
    } else if (life <= WARNING) {
      // Spoken once a half minute, not once a second.
      const words = state.dataset.warning.replace("{}", clock(Math.ceil(life / 30) * 30));
      if (words !== said) say(expiry, (said = words));
    }
  };

  const events = new EventSource(state.dataset.events);
  events.addEventListener("state", (event) => {
    const now = JSON.parse(event.data);
    at = performance.now();
    expiresIn = now.expires_in;
    resendIn = now.resend_in;
    sendsLeft = now.sends_left;
    say(text, now.text);
    say(tries, now.tries);
    steps.forEach((step, index) => step.classList.toggle("done", index < now.steps));
    steps[0].parentElement.classList.toggle("failed", now.failed);
    tick();
  });
  events.addEventListener("end", () => events.close());

  const timer = setInterval(tick, 1000);
  tick();
}
