/// Whole files within limits, files that are opened as safetensors, and locks.
module NormFree.Tests.Formats.PlainFileTests

open System
open System.Diagnostics
open System.IO
open System.Threading.Tasks
open Expecto
open NormFree.Formats
open NormFree.Formats.Onnx
open NormFree.Formats.Safetensors
open NormFree.Tests
open NormFree.Tests.Data.Support
open NormFree.Tests.Formats.SafetensorsSupport

/// A stream that is not seekable.
let private unseekable (bytes: byte[]) =
    { new MemoryStream(bytes) with
        override _.CanSeek = false }

let private refusal action = messageOf<InvalidFileException, _> action

let private streams =
    [ for what, stream in
          [ "seekable", (fun (bytes: byte[]) -> new MemoryStream(bytes) :> Stream)
            "not seekable", (fun bytes -> unseekable bytes) ] do
          test $"a stream that is {what} is read up to the limit" {
              let bytes = randomBytes 1 200_000
              Expect.equal (PlainFile.ReadAllBytes(stream bytes, "x", 200_000)) bytes "bytes"

              contains
                  [ "x, byte 199999"; "longer than 199999" ]
                  (refusal (fun () -> PlainFile.ReadAllBytes(stream bytes, "x", 199_999)))
          }

      test "the rest of a stream is read, and nothing after its end" {
          use stream = new MemoryStream(randomBytes 1 10)
          stream.Position <- 7L
          Expect.equal (PlainFile.ReadAllBytes(stream, "x", 3)).Length 3 "the rest"
          stream.Position <- 20L
          Expect.equal (PlainFile.ReadAllBytes(stream, "x", 3)) [||] "after the end"
      } ]

/// A pipe with a name.
let private withPipe (action: string -> unit) =
    if OperatingSystem.IsWindows() then
        skiptest "Windows has no named pipes in folders"

    use folder = new TempFolder()
    let path = folder.File "pipe"
    use made = Process.Start("mkfifo", path)
    made.WaitForExit()
    action path

let private files =
    [ test "a file is read up to the limit, before which nothing is allocated" {
          use folder = new TempFolder()
          let path = folder.Write("file", randomBytes 1 3000)
          Expect.equal (PlainFile.ReadAllBytes(path, 3000L)) (randomBytes 1 3000) "bytes"

          contains
              [ path; "length"; "3000 bytes; the limit is 2999" ]
              (refusal (fun () -> PlainFile.ReadAllBytes(path, 2999L)))
      }

      test "a pipe is refused" {
          withPipe (fun path ->
              contains [ path; "it is a pipe or socket" ] (refusal (fun () -> PlainFile.ReadAllBytes(path, 10L))))
      }

      test "a safetensors file is read from a pipe" {
          withPipe (fun path ->
              let bytes = SafetensorsWriter() |> add "t" DType.U8 [ 2L ] [| 4uy; 5uy |] |> bytesOf
              let writing = Task.Run(fun () -> File.WriteAllBytes(path, bytes))
              use file = SafetensorsFile.Open path
              writing.Wait()
              Expect.equal (file.ReadBytes file["t"]) [| 4uy; 5uy |] "bytes")
      }

      test "a folder and a missing file are no safetensors files" {
          use folder = new TempFolder()
          contains [ folder.Path; "it is a folder" ] (refusal (fun () -> SafetensorsFile.Open folder.Path))
          Expect.throwsT<FileNotFoundException> (fun () -> SafetensorsFile.Open(folder.File "x") |> ignore) "missing"
      }

      test "a file of no known kind that is no safetensors file is closed again" {
          use folder = new TempFolder()
          let path = folder.Write("file", [| 1uy; 0uy; 200uy; 3uy |])
          contains [ "too few for a safetensors file" ] (refusal (fun () -> SafetensorsFile.Open path))
          use again = new FileStream(path, FileMode.Open, FileAccess.ReadWrite, FileShare.None)
          Expect.equal again.Length 4L "length"
      }

      test "an open safetensors file can be read by others, but not changed" {
          use folder = new TempFolder()
          let path = folder.File "file"
          (SafetensorsWriter() |> add "t" DType.U8 [ 1L ] [| 9uy |]).Save path
          use first = SafetensorsFile.Open path
          use second = SafetensorsFile.Open path
          Expect.equal (second.ReadBytes second["t"]) (first.ReadBytes first["t"]) "bytes"
      } ]

let private locks =
    [ test "a lock names its holder, and is free again when it ends" {
          use folder = new TempFolder()
          let path = folder.File "lock"
          let first, _ = FileLock.TryTake(path, "Größe")
          let second, holder = FileLock.TryTake(path, "me")
          Expect.isNull second "taken twice"
          Expect.equal holder (if OperatingSystem.IsWindows() then "" else "Größe") "holder"
          (nonNull first).Dispose()
          Expect.isFalse (File.Exists path) "the file after the release"
          let again, _ = FileLock.TryTake(path, "me")
          (nonNull again).Dispose()
      } ]

/// A file of Linux that has fewer bytes than its length says.
let private short = "/sys/devices/system/cpu/online"

let private others =
    [ test "a file that becomes shorter while it is read is an I/O error" {
          if not (File.Exists short) then
              skiptest $"this system has no file {short}"

          Expect.throwsT<EndOfStreamException> (fun () -> PlainFile.ReadAllBytes(short, 1L <<< 20) |> ignore) "error"
      }

      test "a mark that is too long to be read again is an error, and the lock is not held" {
          use folder = new TempFolder()
          let path = folder.File "lock"
          let take (mark: string) = FileLock.TryTake(path, mark) |> fst
          contains [ path; "written 100 times" ] (messageOf<IOException, _>(fun () -> take (String('x', 300))))
          let taken = take "me"
          (nonNull taken).Dispose()
      }

      test "the root of the files is a folder, and no file replaces it" {
          let root = nonNull (Path.GetPathRoot(Path.GetTempPath()))
          contains [ "is a folder" ] (messageOf<IOException, _>(fun () -> AtomicFile.Write(root, ignore)))
      }

      test "no ONNX model of more than 2 GiB is written" {
          // The system gives no memory to bytes that nobody touches.
          let bytes = ReadOnlyMemory(GC.AllocateUninitializedArray<byte> 1_200_000_000)
          let constant name = OnnxTensor(name, DType.U8, [| 1_200_000_000L |], bytes)
          let graph = OnnxGraph("g", [||], [| constant "a"; constant "b" |], [||], [||])
          let model = OnnxModel(17L, "test", graph, Collections.Generic.Dictionary())
          Expect.throwsT<InvalidOperationException> (fun () -> model.Write Stream.Null) "2 GiB"
      }

      test "ONNX attributes without values, and sizes without names, are written as empty ones" {
          let node = OnnxNode("Identity", "n", [||], [||], [| OnnxAttribute("x", Nullable(), Nullable(), null) |])
          let value = OnnxValue("v", DType.F32, [| OnnxDimension(Nullable(), null) |])
          let graph = OnnxGraph("g", [| node |], [||], [| value |], [||])
          use stream = new MemoryStream()
          OnnxModel(17L, "test", graph, Collections.Generic.Dictionary()).Write stream
          Expect.isGreaterThan stream.Length 0L "bytes"
      }

      test "an ONNX type that does not exist is an error" {
          let value = OnnxValue("v", enum<DType> 99, [||])

          let model =
              OnnxModel(17L, "test", OnnxGraph("g", [||], [||], [| value |], [||]), Collections.Generic.Dictionary())

          Expect.throwsT<ArgumentOutOfRangeException> (fun () -> model.Write Stream.Null) "error"
      }

      test "the limit of open files is compared with what a program needs" {
          Expect.isNull (ProcessLimits.OpenFilesProblem 1) "enough"

          if not (OperatingSystem.IsWindows()) then
              contains [ "ulimit -n 2147483647" ] (nonNull (ProcessLimits.OpenFilesProblem Int32.MaxValue))
      } ]

let tests = testList "plain files" (streams @ files @ locks @ others)
