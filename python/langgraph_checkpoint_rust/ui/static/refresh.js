// Fetches the part of the page that changes again and again, while somebody looks.
"use strict";
{
  const part = document.getElementById("figures");
  const pause = document.getElementById("pause");
  const seconds = Number(part.dataset.seconds);
  let fetched = 0;
  const refresh = async () => {
    if (document.hidden || pause.checked) return;
    try {
      const answer = await fetch("./figures");
      const text = await answer.text();
      if (answer.ok) {
        part.innerHTML = text;
        part.dataset.fetched = ++fetched;
      }
      part.classList.toggle("stale", !answer.ok);
    } catch {
      part.classList.add("stale");
    }
  };
  setInterval(refresh, seconds * 1000);
}
