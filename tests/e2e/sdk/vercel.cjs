// Drives the Vercel AI SDK: node vercel.cjs BASE_URL COMMAND. Prints one JSON object: what the SDK made of the answers,
// or the class and status of the error that it threw.
'use strict';
const { generateText, generateObject, streamText, tool, jsonSchema } = require('ai');
const { createOpenAICompatible } = require('@ai-sdk/openai-compatible');

const [baseURL, command] = process.argv.slice(2);
const provider = createOpenAICompatible({ name: 'rota', baseURL, apiKey: 'sk-of-the-caller', includeUsage: true,
  supportsStructuredOutputs: true });
const call = { model: provider('any'), prompt: 'Hello', maxRetries: 0 };
const location = jsonSchema({ type: 'object', properties: { location: { type: 'string' } }, required: ['location'] });
const tools = { weather: tool({ description: 'The weather of a place', inputSchema: location }) };
const calls = (found) => found.map(({ toolName, input }) => ({ name: toolName, input }));

// What a stream brings, part by part.
async function collect(result, wanted) {
  const seen = { text: '', deltas: 0, errors: [] };
  for await (const part of result.fullStream) {
    if (part.type === 'text-delta') {
      seen.text += part.text;
      seen.deltas += 1;
    } else if (part.type === 'error') {
      seen.errors.push(String(part.error?.message ?? part.error));
    }
  }
  return seen.errors.length > 0 ? seen : { ...seen, ...(await wanted(result)) };
}

const commands = {
  async text() {
    const { text, usage, finishReason } = await generateText(call);
    return { text, usage, finishReason };
  },
  async stream() {
    return collect(streamText(call), async (result) => (
      { usage: await result.usage, finishReason: await result.finishReason }));
  },
  async tool() {
    const { toolCalls, finishReason } = await generateText({ ...call, tools });
    return { calls: calls(toolCalls), finishReason };
  },
  async toolStream() {
    return collect(streamText({ ...call, tools }), async (result) => (
      { calls: calls(await result.toolCalls), finishReason: await result.finishReason }));
  },
  async object() {
    const { object } = await generateObject({ ...call, schema: location });
    return { object };
  },
  // Goes away after the first piece of text.
  async abort() {
    const controller = new AbortController();
    let deltas = 0;
    const result = streamText({ ...call, abortSignal: controller.signal, onError() {} });
    for await (const part of result.fullStream) {
      if (part.type === 'text-delta') {
        deltas += 1;
        controller.abort();
      }
    }
    return { deltas };
  },
};

commands[command]()
  .then((result) => console.log(JSON.stringify(result)))
  .catch((error) => console.log(JSON.stringify({ error: error.name, status: error.statusCode, message: error.message })));
