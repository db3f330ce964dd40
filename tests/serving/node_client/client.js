// Usage: node client.js HOST:PORT DESCRIPTOR_SET < request.json
//
// Sends a PredictRequest (its protobuf JSON on standard input) and prints the
// answer, or {"code", "details"} of the failure, as JSON.
"use strict";

const fs = require("node:fs");
const grpc = require("@grpc/grpc-js");
const protoLoader = require("@grpc/proto-loader");

const [target, descriptors] = process.argv.slice(2);
const definition = protoLoader.loadFileDescriptorSetFromBuffer(
  fs.readFileSync(descriptors),
  { keepCase: true, longs: String, enums: String, bytes: String }
);
const { PredictionService } =
  grpc.loadPackageDefinition(definition).tensorflow.serving;
const client = new PredictionService(
  target,
  grpc.credentials.createInsecure(),
  { "grpc.enable_http_proxy": 0 }
);
const request = JSON.parse(fs.readFileSync(0, "utf8"));
// JSON has no bytes: strings of tensors arrive as base64.
for (const tensor of Object.values(request.inputs)) {
  tensor.string_val = (tensor.string_val || []).map((text) =>
    Buffer.from(text, "base64")
  );
}
// A descriptor set says what a map is on the wire: repeated key and value.
request.inputs = Object.entries(request.inputs).map(([key, value]) => ({
  key,
  value,
}));
client.Predict(request, { deadline: Date.now() + 20000 }, (error, answer) => {
  const result = error
    ? { code: error.code, details: error.details }
    : {
        ...answer,
        outputs: Object.fromEntries(
          answer.outputs.map(({ key, value }) => [key, value])
        ),
      };
  process.stdout.write(JSON.stringify(result));
  client.close();
});
