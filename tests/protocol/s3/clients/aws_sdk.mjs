// What a program with AWS's SDK for JavaScript does: streams, parts, presigned URLs, checksums, conditions, pages.
// Arguments: folder of node_modules, endpoint, access key, secret. Prints the SDK's version.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { createRequire } from "node:module";
import { Readable } from "node:stream";

const [folder, endpoint, accessKeyId, secretAccessKey] = process.argv.slice(2);
const require = createRequire(`${folder}/`);
const s3 = require("@aws-sdk/client-s3");
const { Upload } = require("@aws-sdk/lib-storage");
const { getSignedUrl } = require("@aws-sdk/s3-request-presigner");

const Bucket = "javascript";
const PART = 5 << 20;
const client = new s3.S3Client({
  endpoint,
  region: "us-east-1",
  forcePathStyle: true,
  credentials: { accessKeyId, secretAccessKey },
  maxAttempts: 1,
});
const ask = (command) => client.send(command);
const bytesOf = async (answer) => Buffer.from(await answer.Body.transformToByteArray());

async function refused(name, status, command) {
  await assert.rejects(ask(command), (error) => {
    assert.equal(error.name, name);
    assert.equal(error.$metadata.httpStatusCode, status);
    return true;
  });
}

async function objects() {
  const Key = "a b+c%/ü&=.txt";
  const Body = randomBytes(100_000);
  const put = await ask(new s3.PutObjectCommand({ Bucket, Key, Body, Metadata: { one: "two" }, ContentType: "text/x" }));
  assert.equal(put.ETag, `"${createHash("md5").update(Body).digest("hex")}"`);
  const got = await ask(new s3.GetObjectCommand({ Bucket, Key }));
  assert.deepEqual(await bytesOf(got), Body);
  assert.deepEqual(got.Metadata, { one: "two" });
  assert.equal(got.ContentType, "text/x");
  const ranged = await ask(new s3.GetObjectCommand({ Bucket, Key, Range: "bytes=10-19" }));
  assert.deepEqual(await bytesOf(ranged), Body.subarray(10, 20));
  await ask(new s3.PutObjectCommand({ Bucket, Key: "streamed", Body: Readable.from([Body]), ContentLength: Body.length }));
  assert.deepEqual(await bytesOf(await ask(new s3.GetObjectCommand({ Bucket, Key: "streamed" }))), Body);
  await ask(new s3.CopyObjectCommand({ Bucket, Key: "copy", CopySource: `${Bucket}/${encodeURIComponent(Key)}` }));
  assert.equal((await ask(new s3.HeadObjectCommand({ Bucket, Key: "copy" }))).ContentLength, Body.length);
  await refused("NoSuchKey", 404, new s3.GetObjectCommand({ Bucket, Key: "none" }));
  await refused("NotFound", 404, new s3.HeadObjectCommand({ Bucket, Key: "none" }));
}

async function checksums() {
  const Body = randomBytes(20_000);
  for (const ChecksumAlgorithm of ["CRC32", "CRC32C", "SHA1", "SHA256"]) {
    const put = await ask(new s3.PutObjectCommand({ Bucket, Key: "summed", Body, ChecksumAlgorithm }));
    const name = `Checksum${ChecksumAlgorithm}`;
    const got = await ask(new s3.GetObjectCommand({ Bucket, Key: "summed", ChecksumMode: "ENABLED" }));
    assert.ok(put[name]);
    assert.equal(got[name], put[name]);
    assert.deepEqual(await bytesOf(got), Body);
  }
  const wrong = { Bucket, Key: "wrong", Body, ChecksumSHA256: createHash("sha256").update("else").digest("base64") };
  await refused("BadDigest", 400, new s3.PutObjectCommand(wrong));
  const ObjectAttributes = ["ETag", "Checksum", "ObjectSize"];
  const told = await ask(new s3.GetObjectAttributesCommand({ Bucket, Key: "summed", ObjectAttributes }));
  assert.equal(told.ObjectSize, Body.length);
  assert.ok(told.Checksum.ChecksumSHA256);
}

async function parts() {
  const body = randomBytes(2 * PART + 77);
  const upload = new Upload({ client, params: { Bucket, Key: "large", Body: Readable.from([body]) }, partSize: PART });
  assert.match((await upload.done()).ETag, /-3"$/);
  assert.deepEqual(await bytesOf(await ask(new s3.GetObjectCommand({ Bucket, Key: "large" }))), body);
  const second = await ask(new s3.GetObjectCommand({ Bucket, Key: "large", PartNumber: 2 }));
  assert.deepEqual(await bytesOf(second), body.subarray(PART, 2 * PART));
  const { UploadId } = await ask(new s3.CreateMultipartUploadCommand({ Bucket, Key: "copied" }));
  const CopySourceRange = `bytes=0-${PART - 1}`;
  const named = { Bucket, Key: "copied", UploadId, PartNumber: 1, CopySource: `${Bucket}/large`, CopySourceRange };
  const { ETag } = (await ask(new s3.UploadPartCopyCommand(named))).CopyPartResult;
  const MultipartUpload = { Parts: [{ PartNumber: 1, ETag }] };
  await ask(new s3.CompleteMultipartUploadCommand({ Bucket, Key: "copied", UploadId, MultipartUpload }));
  assert.equal((await ask(new s3.HeadObjectCommand({ Bucket, Key: "copied" }))).ContentLength, PART);
}

async function presigned() {
  const put = await getSignedUrl(client, new s3.PutObjectCommand({ Bucket, Key: "by url" }), { expiresIn: 60 });
  assert.equal((await fetch(put, { method: "PUT", body: "by url" })).status, 200);
  const get = await getSignedUrl(client, new s3.GetObjectCommand({ Bucket, Key: "by url" }), { expiresIn: 60 });
  assert.equal(await (await fetch(get)).text(), "by url");
  assert.equal((await fetch(get.replace("by%20url", "large"))).status, 403);
}

async function conditions() {
  const many = Array.from({ length: 10 }, (_, number) =>
    ask(new s3.PutObjectCommand({ Bucket, Key: "once", Body: `${number}`, IfNoneMatch: "*" })),
  );
  const ends = await Promise.allSettled(many);
  assert.equal(ends.filter((end) => end.status === "fulfilled").length, 1);
  const { ETag } = await ask(new s3.HeadObjectCommand({ Bucket, Key: "once" }));
  await refused("PreconditionFailed", 412, new s3.PutObjectCommand({ Bucket, Key: "once", Body: "", IfMatch: '"x"' }));
  await ask(new s3.PutObjectCommand({ Bucket, Key: "once", Body: "new", IfMatch: ETag }));
}

async function versionsAndTags() {
  await ask(new s3.PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status: "Enabled" } }));
  const first = await ask(new s3.PutObjectCommand({ Bucket, Key: "versions", Body: "1", Tagging: "a=b" }));
  await ask(new s3.PutObjectCommand({ Bucket, Key: "versions", Body: "2" }));
  const { VersionId } = first;
  assert.equal((await bytesOf(await ask(new s3.GetObjectCommand({ Bucket, Key: "versions", VersionId })))).toString(), "1");
  const { TagSet } = await ask(new s3.GetObjectTaggingCommand({ Bucket, Key: "versions", VersionId }));
  assert.deepEqual(TagSet, [{ Key: "a", Value: "b" }]);
  const listed = await ask(new s3.ListObjectVersionsCommand({ Bucket, Prefix: "versions" }));
  assert.equal(listed.Versions.length, 2);
}

async function pages() {
  const keys = Array.from({ length: 25 }, (_, number) => `page/${String(number).padStart(2, "0")}`);
  await Promise.all(keys.map((Key) => ask(new s3.PutObjectCommand({ Bucket, Key, Body: Key }))));
  const found = [];
  for await (const page of s3.paginateListObjectsV2({ client, pageSize: 10 }, { Bucket, Prefix: "page/" })) {
    found.push(...page.Contents.map((one) => one.Key));
  }
  assert.deepEqual(found, keys);
}

async function empty() {
  const page = await ask(new s3.ListObjectVersionsCommand({ Bucket }));
  assert.equal(page.IsTruncated, false);
  const all = [...page.Versions, ...(page.DeleteMarkers ?? [])];
  const Objects = all.map(({ Key, VersionId }) => ({ Key, VersionId }));
  const done = await ask(new s3.DeleteObjectsCommand({ Bucket, Delete: { Objects } }));
  assert.equal(done.Errors, undefined);
  await ask(new s3.DeleteBucketCommand({ Bucket }));
}

await ask(new s3.CreateBucketCommand({ Bucket }));
for (const part of [objects, checksums, parts, presigned, conditions, versionsAndTags, pages, empty]) await part();
client.destroy();
console.log(require("@aws-sdk/client-s3/package.json").version);
