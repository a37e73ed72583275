// Drives the official OpenAI SDK for Node.js: node client.cjs BASE_URL COMMAND. Prints one JSON object: what the
// SDK returned, or the class and fields of the error that it threw.
'use strict';
const OpenAI = require('openai');

const [baseURL, command] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: 'sk-of-the-caller', maxRetries: 0, timeout: 10000 });
const messages = [{ role: 'user', content: 'Hello' }];
const weather = { type: 'function', function: { name: 'weather', description: 'The weather of a place', parameters: {
  type: 'object', properties: { location: { type: 'string' } }, required: ['location'] } } };

const commands = {
  async chat() {
    const answer = await client.chat.completions.create({ model: 'any', messages });
    return { model: answer.model, content: answer.choices[0].message.content, usage: answer.usage };
  },
  async stream() {
    const stream = await client.chat.completions.create({
      model: 'any', messages, stream: true, stream_options: { include_usage: true } });
    const result = { chunks: 0, content: '', model: null, usage: null };
    for await (const chunk of stream) {
      result.chunks += 1;
      result.model = chunk.model || result.model;
      result.content += chunk.choices[0]?.delta?.content ?? '';
      result.usage = chunk.usage ?? result.usage;
    }
    return result;
  },
  async tool() {
    const answer = await client.chat.completions.create({ model: 'any', messages, tools: [weather] });
    const { message, finish_reason: finish } = answer.choices[0];
    const [call] = message.tool_calls;
    return { name: call.function.name, arguments: JSON.parse(call.function.arguments), finish };
  },
  async toolStream() {
    const runner = client.chat.completions.stream({ model: 'any', messages, tools: [weather] });
    const { message, finish_reason: finish } = (await runner.finalChatCompletion()).choices[0];
    const [call] = message.tool_calls;
    return { name: call.function.name, arguments: JSON.parse(call.function.arguments), finish };
  },
  async models() {
    const models = [];
    for await (const model of client.models.list()) models.push(model.id);
    return { models };
  },
  async bad() {
    return client.post('/chat/completions', { body: { model: 7, messages } });
  },
};

commands[command]()
  .then((result) => console.log(JSON.stringify(result)))
  .catch((error) => console.log(JSON.stringify({
    error: error.constructor.name, status: error.status, code: error.code, type: error.type, message: error.message,
    retryAfter: error.headers?.get?.('retry-after') ?? null })));
