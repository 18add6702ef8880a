// Where a number is typed: narrows the country list while one types, and shows a number as it will be dialled.
"use strict";

for (const filter of document.querySelectorAll("[data-filter]")) {
  const select = document.getElementById(filter.dataset.filter);
  const options = Array.from(select.querySelectorAll("option"), (option) => ({
    option,
    parent: option.parentElement,
    keys: `${option.textContent} ${option.dataset.keys || ""}`.toLowerCase()
      .normalize("NFD").replace(/\p{M}/gu, ""),
  }));
  const narrow = () => {
    const wanted = filter.value.trim().toLowerCase().normalize("NFD").replace(/\p{M}/gu, "");
    const chosen = select.value;
    for (const { option } of options) option.remove();
    for (const { option, parent, keys } of options) {
      if (!wanted || option.value === "" || option.value === chosen || keys.includes(wanted)) {
        parent.append(option);
      }
    }
    select.value = chosen;
  };
  filter.addEventListener("input", narrow);
  filter.addEventListener("keydown", (event) => {
    if (event.key === "Enter") {
      event.preventDefault();
      select.focus();
    }
  });
}

const dialled = document.getElementById("dialled");
if (dialled) {
  const form = dialled.closest("form");
  const number = form.elements.mobile_number;
  const country = form.elements.country;
  let asked = "";
  const check = async () => {
    const typed = `${country.value} ${number.value.trim()}`;
    if (typed === asked) return;
    asked = typed;
    dialled.textContent = "";
    dialled.classList.remove("error");
    if (!number.value.trim()) return;
    const body = new URLSearchParams({
      csrf: form.elements.csrf.value,
      nonce: form.elements.nonce.value,
      mobile_number: number.value,
      country: country.value,
    });
    const answer = await fetch(dialled.dataset.check, { method: "POST", body });
    if (!answer.ok || typed !== asked) return;
    const said = await answer.json();
    dialled.textContent = said.dialled || said.error;
    dialled.classList.toggle("error", Boolean(said.error));
  };
  asked = `${country.value} ${number.value.trim()}`;
  number.addEventListener("change", check);
  country.addEventListener("change", check);
}
