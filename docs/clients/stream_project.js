// In a browser console: paste it, then stream("http://localhost:8000", "http://localhost:8001", "<project id>", "plk_…")
// PRELABEL_API_KEY=plk_… node --experimental-eventsource stream_project.js http://localhost:8000 http://localhost:8001 <project id>
const BLOCKS = ["message", "subscribed", "progress", "closed"];

async function stream(api, notifier, project, key, show = (block) => console.log(JSON.stringify(block))) {
  let last;
  for (let failures = 0; ; failures++) {
    if (failures) await new Promise((wake) => setTimeout(wake, Math.random() * Math.min(4_000, 500 * 2 ** failures)));
    try {
      const answer = await fetch(`${api}/v1/websocket-tickets`, { method: "POST", headers: { Authorization: `Bearer ${key}` } });
      if ([401, 403].includes(answer.status)) return show(await answer.json());
      const { ticket } = await answer.json();
      const query = new URLSearchParams({ ticket, ...(last && { last_event_id: last }) });
      const source = new EventSource(`${notifier}/v1/projects/${project}/events/stream?${query}`);
      const heard = ({ type, data, lastEventId }) => {
        failures = 0;
        last = lastEventId || last;
        show({ name: type, id: lastEventId, data: JSON.parse(data) });
      };
      BLOCKS.forEach((name) => source.addEventListener(name, heard));
      await new Promise((cut) => (source.onerror = cut));
      source.close(); // the browser would come back with the used ticket
    } catch (error) {
      if (error instanceof ReferenceError) throw error; // no EventSource here: an older Node.js
      console.warn(String(error)); // the api is away for now
    }
  }
}

if (typeof process !== "undefined") stream(...process.argv.slice(2), process.env.PRELABEL_API_KEY);
