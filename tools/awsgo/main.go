// Command awsgo does what a program with AWS's SDK for Go does: streams, parts, presigned URLs, checksums, conditions,
// pages. Arguments: endpoint, access key, secret. It prints "end", or what went wrong.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

const part = 5 << 20

var (
	bucket = aws.String("golang")
	ctx    = context.Background()
)

func check(err error) {
	if err != nil {
		log.Panic(err)
	}
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func expect(good bool, what ...any) {
	if !good {
		log.Panic(what...)
	}
}

func refused(code string, err error) {
	var told smithy.APIError
	expect(errors.As(err, &told) && told.ErrorCode() == code, "expected ", code, ", got ", err)
}

func random(size int) []byte {
	body := make([]byte, size)
	rand.Read(body)
	return body
}

func bytesOf(client *s3.Client, in *s3.GetObjectInput) []byte {
	in.Bucket = bucket
	got := must(client.GetObject(ctx, in))
	defer got.Body.Close()
	return must(io.ReadAll(got.Body))
}

func objects(client *s3.Client) {
	key, body := aws.String("a b+c%/ü&=.txt"), random(100_000)
	put := &s3.PutObjectInput{Bucket: bucket, Key: key, Body: bytes.NewReader(body), Metadata: map[string]string{"one": "two"}}
	must(client.PutObject(ctx, put))
	expect(bytes.Equal(bytesOf(client, &s3.GetObjectInput{Key: key}), body), "another body")
	head := must(client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: key}))
	expect(head.Metadata["one"] == "two" && *head.ContentLength == 100_000, "another head")
	ranged := bytesOf(client, &s3.GetObjectInput{Key: key, Range: aws.String("bytes=10-19")})
	expect(bytes.Equal(ranged, body[10:20]), "another range")
	source := aws.String("golang/a%20b%2Bc%25/%C3%BC%26%3D.txt")
	must(client.CopyObject(ctx, &s3.CopyObjectInput{Bucket: bucket, Key: aws.String("copy"), CopySource: source}))
	expect(bytes.Equal(bytesOf(client, &s3.GetObjectInput{Key: aws.String("copy")}), body), "another copy")
	_, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: aws.String("none")})
	var missing *types.NoSuchKey
	expect(errors.As(err, &missing), err)
}

func checksums(client *s3.Client) {
	body, key := random(20_000), aws.String("summed")
	for _, algorithm := range types.ChecksumAlgorithm("").Values() {
		switch algorithm {
		case types.ChecksumAlgorithmCrc32, types.ChecksumAlgorithmCrc32c, types.ChecksumAlgorithmCrc64nvme,
			types.ChecksumAlgorithmSha1, types.ChecksumAlgorithmSha256:
			put := &s3.PutObjectInput{Bucket: bucket, Key: key, Body: bytes.NewReader(body), ChecksumAlgorithm: algorithm}
			must(client.PutObject(ctx, put))
			got := bytesOf(client, &s3.GetObjectInput{Key: key, ChecksumMode: types.ChecksumModeEnabled})
			expect(bytes.Equal(got, body), algorithm)
		}
	}
	wrong := aws.String("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")
	_, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: key, Body: bytes.NewReader(body), ChecksumSHA256: wrong})
	refused("BadDigest", err)
	want := []types.ObjectAttributes{types.ObjectAttributesEtag, types.ObjectAttributesObjectSize}
	told := must(client.GetObjectAttributes(ctx, &s3.GetObjectAttributesInput{Bucket: bucket, Key: key, ObjectAttributes: want}))
	expect(*told.ObjectSize == int64(len(body)), "another size")
}

func parts(client *s3.Client) {
	body, key := random(2*part+77), aws.String("large")
	uploader := manager.NewUploader(client, func(one *manager.Uploader) { one.PartSize = part })
	// No length and no way back: the SDK has to send what it reads as it comes.
	must(uploader.Upload(ctx, &s3.PutObjectInput{Bucket: bucket, Key: key, Body: io.MultiReader(bytes.NewReader(body))}))
	back := manager.NewWriteAtBuffer(nil)
	downloader := manager.NewDownloader(client, func(one *manager.Downloader) { one.PartSize = part })
	must(downloader.Download(ctx, back, &s3.GetObjectInput{Bucket: bucket, Key: key}))
	expect(bytes.Equal(back.Bytes(), body), "another large body")
	second := bytesOf(client, &s3.GetObjectInput{Key: key, PartNumber: aws.Int32(2)})
	expect(bytes.Equal(second, body[part:2*part]), "another second part")
}

func presigned(client *s3.Client) {
	key, signer := aws.String("by url"), s3.NewPresignClient(client)
	put := must(signer.PresignPutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: key}))
	request := must(http.NewRequest(put.Method, put.URL, strings.NewReader("by url")))
	request.Header = put.SignedHeader
	answer := must(http.DefaultClient.Do(request))
	expect(answer.StatusCode == 200, answer.Status)
	get := must(signer.PresignGetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: key}))
	found := must(http.Get(get.URL))
	expect(string(must(io.ReadAll(found.Body))) == "by url", found.Status)
}

func conditions(client *s3.Client) {
	var won atomic.Int32
	var all sync.WaitGroup
	key := aws.String("once")
	for range 10 {
		all.Add(1)
		go func() {
			defer all.Done()
			put := &s3.PutObjectInput{Bucket: bucket, Key: key, Body: strings.NewReader("x"), IfNoneMatch: aws.String("*")}
			if _, err := client.PutObject(ctx, put); err == nil {
				won.Add(1)
			}
		}()
	}
	all.Wait()
	expect(won.Load() == 1, won.Load())
	put := &s3.PutObjectInput{Bucket: bucket, Key: key, Body: strings.NewReader("y"), IfMatch: aws.String(`"x"`)}
	_, err := client.PutObject(ctx, put)
	refused("PreconditionFailed", err)
}

func pages(client *s3.Client) {
	for number := range 25 {
		key := aws.String(fmt.Sprintf("page/%02d", number))
		must(client.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: key, Body: strings.NewReader(*key)}))
	}
	in := &s3.ListObjectsV2Input{Bucket: bucket, Prefix: aws.String("page/"), MaxKeys: aws.Int32(10)}
	found := 0
	for pager := s3.NewListObjectsV2Paginator(client, in); pager.HasMorePages(); {
		found += len(must(pager.NextPage(ctx)).Contents)
	}
	expect(found == 25, found)
}

func empty(client *s3.Client) {
	pager := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: bucket})
	for pager.HasMorePages() {
		var doomed []types.ObjectIdentifier
		for _, one := range must(pager.NextPage(ctx)).Contents {
			doomed = append(doomed, types.ObjectIdentifier{Key: one.Key})
		}
		gone := must(client.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: bucket, Delete: &types.Delete{Objects: doomed}}))
		expect(len(gone.Errors) == 0, gone.Errors)
	}
	must(client.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: bucket}))
}

func main() {
	client := s3.New(s3.Options{
		BaseEndpoint:     aws.String(os.Args[1]),
		Credentials:      credentials.NewStaticCredentialsProvider(os.Args[2], os.Args[3], ""),
		Region:           "us-east-1",
		RetryMaxAttempts: 1,
		UsePathStyle:     true,
	})
	must(client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: bucket}))
	for _, one := range []func(*s3.Client){objects, checksums, parts, presigned, conditions, pages, empty} {
		one(client)
	}
	fmt.Println("end")
}
