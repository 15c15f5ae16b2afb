/// The sample service (experiments/service): answers, errors, limits and its end.
module NormFree.Tests.Samples.ServiceTests

open System
open System.Diagnostics
open System.IO
open System.Net.Http
open System.Net.Sockets
open System.Text
open System.Text.RegularExpressions
open System.Threading
open Expecto
open NormFree.Data
open NormFree.Kernels.Simd
open NormFree.Tests.Data.Support
open NormFree.Tests.Inference
open NormFree.Tests.Samples.Service
open NormFree.Tests.Samples.Support

let private folder = lazy (new TempFolder())
let private network = lazy (write folder.Value "tiny.packed.safetensors" Models.tiny)
let private photo = lazy (drawn 1 40 30 |> jpeg 90)

/// The service that most tests share, with low limits. It ends with this process.
let private shared =
    lazy
        (let service =
            new Service(sample, [ "--network"; network.Value; "--maxBytes"; "20000"; "--maxPixels"; "10000" ])

         AppDomain.CurrentDomain.ProcessExit.Add(fun _ ->
             (service :> IDisposable).Dispose()
             (folder.Value :> IDisposable).Dispose())

         service)

/// A request whose body is sent in two halves.
type private SlowUpload(service: Service, body: byte[]) =
    let client = new TcpClient(service.Address.Host, service.Address.Port)
    let stream = client.GetStream()
    let half = body.Length / 2

    do
        stream.Write(
            ReadOnlySpan(
                Encoding.ASCII.GetBytes $"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: {body.Length}\r\n\r\n"
            )
        )

        stream.Write(ReadOnlySpan(body, 0, half))

    /// Sends the other half. Returns the first line of the answer.
    member _.Finish() =
        stream.Write(ReadOnlySpan(body, half, body.Length - half))
        use reader = new StreamReader(stream)
        string (reader.ReadLine())

    interface IDisposable with
        member _.Dispose() = client.Dispose()

/// Waits until so many requests are in progress.
let private awaitInProgress (service: Service) (count: float) =
    let clock = Stopwatch.StartNew()

    while service.Metrics()["normfree_requests_in_progress"] <> count do
        Expect.isLessThan clock.Elapsed.TotalSeconds 20.0 "requests in progress"
        Thread.Sleep 20

/// Waits until the service refuses new connections.
let private awaitRefusal (service: Service) =
    let clock = Stopwatch.StartNew()
    let mutable refused = false

    while not refused do
        Expect.isLessThan clock.Elapsed.TotalSeconds 20.0 "new connections are refused"

        try
            (new TcpClient(service.Address.Host, service.Address.Port)).Dispose()
            Thread.Sleep 20
        with :? SocketException ->
            refused <- true

let private answers =
    [ test "an upload is answered with the engine's probabilities" {
          let status, _, text = shared.Value.Post("/classify", photo.Value)
          Expect.equal status 200 text
          let image = Decode.image photo.Value |> ok

          for (name, probability), (expectedName, expected) in
              List.zip (predictions text) (expected InstructionSets.Best Models.tiny image) do
              Expect.equal name expectedName "class"
              Expect.floatClose Accuracy.veryHigh probability expected "probability"

          let _, _, first = shared.Value.Post("/classify?top=1", photo.Value)
          Expect.equal (predictions first) [ (predictions text).Head ] "the best class"
      }

      for name, bytes, expectedStatus, part in
          [ "an empty body", (fun () -> [||]), 400, "empty"
            "text", (fun () -> Encoding.UTF8.GetBytes "not an image"), 422, "not an image in a supported format"
            "a truncated JPEG", (fun () -> Array.truncate (photo.Value.Length / 2) photo.Value), 422, "truncated"
            "a body that is too large", (fun () -> randomBytes 1 30000), 413, "too large"
            "a small file of many pixels",
            (fun () -> png (Image.blank 101 100)),
            413,
            "101×100 pixels; the limit is 10000"
            "a narrow strip", (fun () -> png (Image.blank 211 10)), 422, "211×10 pixels: its sides differ by a factor" ] do
          test $"{name} is answered with {expectedStatus} and a message in JSON" {
              let status, _, text = shared.Value.Post("/classify", bytes ())
              Expect.equal status expectedStatus text
              Expect.stringContains (problem text) part "message"
          }

      test "an upload as a form is answered with 415, and how to send it" {
          use form = new MultipartFormDataContent()
          form.Add(new ByteArrayContent(photo.Value), "file", "photo.jpg")
          use answer = shared.Value.Client.PostAsync("/classify", form).Result
          let text = answer.Content.ReadAsStringAsync().Result
          Expect.equal (int answer.StatusCode) 415 text
          Expect.stringContains (problem text) "send the image's bytes alone" "message"
      }

      test "unknown addresses and methods are errors in JSON" {
          let status, _, text = shared.Value.Post("/none", [||])
          Expect.equal status 404 text
          Expect.stringContains text "\"status\":404" "JSON"
          use answer = shared.Value.Client.GetAsync("/classify").Result
          Expect.equal (int answer.StatusCode) 405 "a method"
      }

      test "health names the network" {
          let text = shared.Value.Get "/health"
          Expect.equal text """{"status":"ok","network":"by-hand","classes":3}""" "health"
      }

      test "metrics are in Prometheus' format and count answers by status" {
          use service = new Service(sample, [ "--network"; network.Value ])
          service.Post("/classify", photo.Value) |> ignore
          service.Post("/classify", [||]) |> ignore
          let text = service.Get "/metrics"

          for line in text.Split('\n', StringSplitOptions.RemoveEmptyEntries) do
              Expect.isTrue
                  (Regex.IsMatch(line, """^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z]+="[^"]*"\})? [0-9.eE+-]+)$"""))
                  line

          let metrics = service.Metrics()
          Expect.equal metrics["normfree_requests_total{status=\"200\"}"] 1.0 "good ones"
          Expect.equal metrics["normfree_requests_total{status=\"400\"}"] 1.0 "bad ones"
          Expect.equal metrics["normfree_request_seconds_count"] 2.0 "all"
          Expect.equal metrics["normfree_request_seconds_bucket{le=\"+Inf\"}"] 2.0 "all"
          Expect.isGreaterThan metrics["process_resident_memory_bytes"] 1e6 "memory"
      } ]

let private limits =
    [ test "a request beyond the limit is answered with 503 and Retry-After" {
          use service = new Service(sample, [ "--network"; network.Value; "--maxRequests"; "1" ])
          use upload = new SlowUpload(service, photo.Value)
          awaitInProgress service 1.0
          let status, headers, text = service.Post("/classify", photo.Value)
          Expect.equal status 503 text
          Expect.equal (string headers.RetryAfter) "1" "Retry-After"
          Expect.stringContains (problem text) "busy" "message"
          Expect.equal (upload.Finish()) "HTTP/1.1 200 OK" "the first request"
          let status, _, _ = service.Post("/classify", photo.Value)
          Expect.equal status 200 "after it"
      }

      test "SIGTERM lets a request finish, accepts no more, and ends with 0" {
          use service = new Service(sample, [ "--network"; network.Value ])
          use upload = new SlowUpload(service, photo.Value)
          awaitInProgress service 1.0
          service.Terminate()

          // The upload is still in progress.
          awaitRefusal service
          Expect.equal (upload.Finish()) "HTTP/1.1 200 OK" "the request"
          Expect.equal (service.ExitCode 20.0) (Some 0) "exit code"
      }

      test "wrong settings and files are named" {
          let file = folder.Value.Write("text.safetensors", Encoding.UTF8.GetBytes "no network")

          for arguments, part in
              [ [], "--network FILE"
                [ "--network"; folder.Value.File "none" ], "none"
                [ "--network"; file ], "text.safetensors"
                [ "--network"; network.Value; "--maxRequests"; "0" ], "MaxRequests" ] do
              let code, err = run arguments
              Expect.equal code 1 $"exit code of {arguments}"
              Expect.stringContains err part "message"
              Expect.isFalse (err.Contains "   at ") "no stack trace"
      } ]

let tests = testSequenced (testList "service" (answers @ limits))
