module NormFree.Tests.Data.DownloadTests

open System
open System.IO
open System.Net.Sockets
open System.Security.Cryptography
open System.Threading
open Expecto
open NormFree.Data
open NormFree.Tests.Data.Support
open NormFree.Tests.Data.DownloadServer

let private untouched (_: TempFolder) = ()
let private withPart bytes (folder: TempFolder) = folder.Write("set.tar.gz.part", bytes) |> ignore

let private expectWhole result (folder: TempFolder) =
    Expect.equal (ok result) (folder.File "set.tar.gz") "the path"
    Expect.equal (File.ReadAllBytes(ok result)) content "the bytes"
    Expect.equal (Directory.GetFiles folder.Path).Length 1 "no .part file is left"

let tests =
    testList
        "downloads"
        [ yield! RemoteDatasetTests.tests

          test "take a file from the next mirror if the first one does not have it" {
              use folder = new TempFolder()
              use broken = new Server(status "404 Not Found")
              use good = new Server(whole)
              let request = requestTo folder broken.Address
              let mirror = (RemoteDatasets.fromMirror good.Address remote).Address
              expectWhole (download { request with Remote = { request.Remote with Mirrors = [ mirror ] } }) folder

              let without = { request with Folder = folder.File "other" }

              match download without with
              | Ok path -> failtest $"{path} was downloaded"
              | Error error -> contains [ string request.Remote.Address ] (string error)
          }

          test "get a whole file and report progress" {
              use folder = new TempFolder()
              use server = new Server(ranged)
              let seen = ResizeArray()
              let result = (Download.run (requestTo folder server.Address) seen.Add CancellationToken.None).Result
              expectWhole result folder
              Expect.equal server.Requests [ "/mirror/set.tar.gz", None ] "one request"
              Expect.equal (Seq.last seen) { Received = 500_000L; Total = 500_000L } "the end"

              Expect.isTrue
                  (seen |> Seq.pairwise |> Seq.forall (fun (a, b) -> a.Received <= b.Received))
                  "never decreases"
          }

          test "resume after a broken connection" {
              against
                  (fun exchange -> if exchange.Number = 1 then cutAfter 200_000 exchange else ranged exchange)
                  untouched
                  (fun result folder requests ->
                      expectWhole result folder

                      Expect.equal
                          (List.map snd requests)
                          [ None; Some 200_000 ]
                          "the second request asks for the rest")
          }

          test "resume the .part file of an earlier call" {
              against ranged (withPart (Array.truncate 123_456 content)) (fun result folder requests ->
                  expectWhole result folder
                  Expect.equal (List.map snd requests) [ Some 123_456 ] "only the rest")
          }

          test "start over if the server ignores the range" {
              against whole (withPart (Array.truncate 123_456 content)) (fun result folder _ ->
                  expectWhole result folder)
          }

          test "start over if the .part file is longer than the file" {
              against ranged (withPart (Array.append content content)) (fun result folder requests ->
                  expectWhole result folder
                  Expect.equal (List.map snd requests) [ None ] "all of it")
          }

          test "start over if the server rejects the range" {
              let respond exchange =
                  if exchange.Range.IsSome then
                      status "416 Range Not Satisfiable" exchange
                  else
                      whole exchange

              against respond (withPart (Array.truncate 1000 content)) (fun result folder _ ->
                  expectWhole result folder)
          }

          test "complete a full .part file without a request" {
              against ranged (withPart content) (fun result folder requests ->
                  expectWhole result folder
                  Expect.isEmpty requests "no request")
          }

          test "keep a correct file and replace a damaged one" {
              against
                  ranged
                  (fun folder -> folder.Write("set.tar.gz", content) |> ignore)
                  (fun result folder requests ->
                      expectWhole result folder
                      Expect.isEmpty requests "no request")

              against
                  ranged
                  (fun folder -> folder.Write("set.tar.gz", Array.rev content) |> ignore)
                  (fun result folder _ -> expectWhole result folder)
          }

          test "reject and delete a file with another checksum, and name both checksums" {
              let other = Array.rev content
              let respond exchange = write exchange "200 OK" [ $"Content-Length: {other.Length}" ] other

              against respond untouched (fun result folder requests ->
                  contains [ remote.Md5; Convert.ToHexStringLower(MD5.HashData other); "deleted" ] (error result)
                  Expect.isEmpty (Directory.GetFiles folder.Path) "nothing is left"
                  Expect.equal requests.Length 1 "no retry")
          }

          test "reject a longer file without storing it" {
              let respond exchange = write exchange "200 OK" [] (Array.append content (Array.zeroCreate 10_000_000))

              against respond untouched (fun result folder _ ->
                  contains [ "500000 bytes with MD5" ] (error result)
                  Expect.isEmpty (Directory.GetFiles folder.Path) "nothing is left")
          }

          test "retry after a server error" {
              against
                  (fun exchange ->
                      if exchange.Number < 3 then
                          status "503 Service Unavailable" exchange
                      else
                          ranged exchange)
                  untouched
                  (fun result folder requests ->
                      expectWhole result folder
                      Expect.equal requests.Length 3 "requests")
          }

          test "resume after a connection reset" {
              let reset exchange =
                  cutAfter 200_000 exchange
                  // Lets the client read some data. Closing with a linger time of 0 sends a reset.
                  Thread.Sleep 50
                  exchange.Stream.Socket.LingerState <- LingerOption(true, 0)
                  exchange.Stream.Socket.Close()

              against
                  (fun exchange -> if exchange.Number = 1 then reset exchange else ranged exchange)
                  untouched
                  (fun result folder _ -> expectWhole result folder)
          }

          test "treat a response that ends early without a length as a broken connection" {
              let early exchange = write exchange "200 OK" [] (Array.truncate 1000 content)

              against
                  (fun exchange -> if exchange.Number = 1 then early exchange else ranged exchange)
                  untouched
                  (fun result folder _ -> expectWhole result folder)
          }

          test "give up after the retries, and keep the .part file" {
              against (cutAfter 1000) untouched (fun result folder requests ->
                  contains [ "the connection broke"; "mirror" ] (error result)
                  Expect.equal requests.Length 5 "one attempt and four retries"

                  Expect.equal
                      (Directory.GetFiles folder.Path |> Array.map Path.GetFileName)
                      [| "set.tar.gz.part" |]
                      "the .part file")
          }

          test "report 404 without a retry" {
              against (status "404 Not Found") untouched (fun result _ requests ->
                  contains [ "404 Not Found"; "set.tar.gz"; "mirror" ] (error result)
                  Expect.equal requests.Length 1 "no retry")
          }

          test "report a refused connection" {
              use folder = new TempFolder()
              let address = using (new Server(ranged)) _.Address

              contains
                  [ "no connection"; "Check the network" ]
                  (error (download { requestTo folder address with Retries = 1 }))
          }

          for place, answer in [ "in the body", cutAfter 1000; "before the response", ignore ] do
              test $"time out if the server stalls {place}" {
                  use folder = new TempFolder()
                  use stop = new ManualResetEventSlim(false)

                  let respond exchange =
                      answer exchange
                      stop.Wait 5000 |> ignore

                  use server = new Server(respond)
                  let timeout = TimeSpan.FromMilliseconds 100.0
                  let request = { requestTo folder server.Address with Retries = 0; Timeout = timeout }
                  contains [ "no data arrived for 0.1 seconds" ] (error (download request))
                  stop.Set()
              }

          test "stop when cancelled, and keep the .part file for the next call" {
              use folder = new TempFolder()
              use stop = new ManualResetEventSlim(false)
              use cancellation = new CancellationTokenSource()

              let respond exchange =
                  if exchange.Number = 1 then
                      cutAfter 300_000 exchange
                      stop.Wait 5000 |> ignore
                  else
                      ranged exchange

              use server = new Server(respond)
              let request = requestTo folder server.Address

              let progress p =
                  if p.Received >= 300_000L then
                      cancellation.Cancel()

              let running = Download.run request progress cancellation.Token
              let thrown = Expect.throwsC (fun () -> running.GetAwaiter().GetResult() |> ignore) id
              stop.Set()
              Expect.isTrue (thrown :? OperationCanceledException) $"cancelled, not {thrown}"
              Expect.equal (Directory.GetFiles folder.Path) [| folder.File "set.tar.gz.part" |] "files"
              expectWhole (download request) folder
              Expect.equal (List.map snd server.Requests) [ None; Some 300_000 ] "the second call resumes"
          }

          test "report a full disk" {
              if not (File.Exists "/dev/full") then
                  skiptest "there is no /dev/full"

              against
                  ranged
                  (fun folder -> File.CreateSymbolicLink(folder.File "set.tar.gz.part", "/dev/full") |> ignore)
                  (fun result _ requests ->
                      contains [ "the disk is full"; "Free some space" ] (error result)
                      Expect.equal requests.Length 1 "no retry")
          }

          for target in [ "ftp://elsewhere/set.tar.gz"; "file:///etc/passwd"; "gopher://elsewhere/" ] do
              test $"report a redirect to {target}, which is not followed" {
                  let redirect exchange = write exchange "302 Found" [ $"Location: {target}"; "Content-Length: 0" ] [||]

                  against redirect untouched (fun result folder requests ->
                      contains
                          [ "/mirror/set.tar.gz"; "the server redirects to"; "not followed"; "mirror" ]
                          (error result)

                      Expect.equal requests.Length 1 "no retry"
                      Expect.isEmpty (Directory.GetFiles folder.Path) "no file")
              }

          test "stop at redirects without an end" {
              let redirect exchange =
                  write exchange "302 Found" [ "Location: /mirror/set.tar.gz"; "Content-Length: 0" ] [||]

              against redirect untouched (fun result _ requests ->
                  contains [ "redirects more than 10 times"; "mirror" ] (error result)
                  Expect.equal requests.Length 11 "requests")
          }

          test "follow a redirect to another path" {
              let redirect exchange =
                  if exchange.Path = "/mirror/set.tar.gz" then
                      write exchange "302 Found" [ "Location: /elsewhere/set.tar.gz"; "Content-Length: 0" ] [||]
                  else
                      ranged exchange

              against redirect untouched (fun result folder _ -> expectWhole result folder)
          }

          test "reject an address that is not http or https" {
              use folder = new TempFolder()
              contains [ "ftp://host/"; "not a web address" ] (error (download (requestTo folder (Uri "ftp://host/"))))
          }

          test "name a folder that is not writable" {
              use folder = new TempFolder()
              let file = folder.Write("file", [||])
              use server = new Server(ranged)
              contains [ file ] (error (download { requestTo folder server.Address with Folder = file }))
          } ]
