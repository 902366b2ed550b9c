// PRELABEL_API_KEY=plk_… node follow_run.js http://localhost:8000 ws://localhost:8001/v1/ws model_run:<id>
// In a browser console: paste it, then follow("http://localhost:8000", "ws://localhost:8001/v1/ws", "model_run:…", "plk_…")
const ENDED = ["completed", "completed_with_errors", "cancelled", "failed"];

async function follow(api, url, topic, key, show = (message) => console.log(JSON.stringify(message))) {
  let after, finished = false;
  for (let failures = 0; !finished; failures++) {
    if (failures) await new Promise((wake) => setTimeout(wake, Math.random() * Math.min(4_000, 500 * 2 ** failures)));
    try {
      const answer = await fetch(`${api}/v1/websocket-tickets`, { method: "POST", headers: { Authorization: `Bearer ${key}` } });
      if ([401, 403].includes(answer.status)) return show(await answer.json());
      const { ticket } = await answer.json();
      const socket = new WebSocket(url, "prelabel.v1");
      const send = (message) => socket.send(JSON.stringify(message));
      socket.onopen = () => [{ type: "init", ticket }, { type: "subscribe", id: "1", topic, after }].forEach(send);
      socket.onmessage = ({ data }) => {
        const message = JSON.parse(data);
        failures = 0;
        if (message.type === "ping") return send({ type: "pong" });
        if (message.type === "subscribed") after = { epoch: message.epoch, offset: message.offset };
        if (message.type === "event" || message.type === "position") after.offset = message.offset;
        show(message);
        finished ||= message.type === "error" || ENDED.includes((message.event?.data ?? message.snapshot)?.state);
        if (finished) socket.close();
      };
      const { code, reason } = await new Promise((closed) => (socket.onclose = closed));
      if (code === 4400 || code === 4403) return show({ type: "closed", code, reason });
    } catch (error) {
      if (error instanceof ReferenceError) throw error; // no WebSocket here: an older Node.js
      console.warn(String(error)); // the api is away for now
    }
  }
}

if (typeof process !== "undefined") follow(...process.argv.slice(2), process.env.PRELABEL_API_KEY);
