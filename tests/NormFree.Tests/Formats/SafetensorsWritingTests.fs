/// Writing safetensors files: what replaces what, and what is rejected.
module NormFree.Tests.Formats.SafetensorsWritingTests

open System
open System.IO
open System.Runtime.InteropServices
open Expecto
open FsCheck
open NormFree.Formats
open NormFree.Formats.Safetensors
open NormFree.Tests.Formats.SafetensorsSupport

/// Runs with the path of a file that does not exist yet, in a folder of its own.
let private inFolder action =
    let folder = Directory.CreateTempSubdirectory "normfree-"

    try
        action (Path.Combine(folder.FullName, "model.safetensors"))
    finally
        folder.Delete true

let private folderOf (path: string) =
    match Path.GetDirectoryName path with
    | null -> failtest "a path without a folder"
    | folder -> folder

let private expectOnly path content =
    Expect.equal (File.ReadAllBytes path) content "the old file"
    Expect.sequenceEqual (Directory.GetFileSystemEntries(folderOf path)) [ path ] "no other file"

[<DllImport("libc", EntryPoint = "setfsuid")>]
extern int private setFileSystemUser(uint32 user)

/// The user "nobody".
let private nobody = 65534u

/// Runs with the file permissions of an ordinary user: root may write everywhere. Only this thread is changed.
let private asOrdinaryUser action =
    if Environment.UserName <> "root" then
        action ()
    else
        setFileSystemUser nobody |> ignore

        try
            action ()
        finally
            setFileSystemUser 0u |> ignore

let tests =
    [ test "the same content gives the same bytes, in a new file and over an old one" {
          inFolder (fun path ->
              let writer () = SafetensorsWriter().Describe("a", "b") |> add "t" DType.U8 [ 3L ] [| 1uy; 2uy; 3uy |]
              writer().Save path
              writer().Save path
              expectOnly path (bytesOf (writer ()))
              use file = SafetensorsFile.Open path
              Expect.equal (file.ReadBytes file["t"]) [| 1uy; 2uy; 3uy |] "bytes")
      }

      test "a failure in the middle of writing leaves the old file and nothing else" {
          inFolder (fun path ->
              File.WriteAllText(path, "old")

              Expect.throwsT<InvalidOperationException>
                  (fun () ->
                      AtomicFile.Write(
                          path,
                          fun stream ->
                              stream.Write(ReadOnlySpan(Array.zeroCreate<byte> 100_000))
                              invalidOp "the disk is full"
                      ))
                  "is rethrown"

              expectOnly path "old"B)
      }

      test "a folder is not replaced by a file" {
          inFolder (fun path ->
              Directory.CreateDirectory path |> ignore
              let save () = (SafetensorsWriter() |> add "t" DType.U8 [ 1L ] [| 1uy |]).Save path

              try
                  save ()
                  failtest "a folder was replaced by a file"
              with
              | :? IOException
              | :? UnauthorizedAccessException -> ()

              Expect.sequenceEqual (Directory.GetFileSystemEntries(folderOf path)) [ path ] "no other file")
      }

      test "a missing folder is an I/O error" {
          inFolder (fun path ->
              Expect.throwsT<DirectoryNotFoundException>
                  (fun () -> SafetensorsWriter().Save(Path.Combine(path, "nowhere", "x")))
                  "error")
      }

      test "a full disk is an I/O error" {
          if not (File.Exists "/dev/full") then
              skiptest "this machine has no /dev/full"

          use full = new FileStream("/dev/full", FileMode.Open, FileAccess.Write, FileShare.ReadWrite, 1)
          let writer = SafetensorsWriter() |> add "t" DType.U8 [ 100_000L ] (Array.zeroCreate 100_000)
          Expect.throwsT<IOException> (fun () -> writer.Write full) "error"
      }

      test "a folder that is not writable keeps the old file" {
          inFolder (fun path ->
              File.WriteAllText(path, "old")
              let folder = folderOf path
              let read = UnixFileMode.UserRead ||| UnixFileMode.UserExecute
              File.SetUnixFileMode(folder, read ||| UnixFileMode.OtherRead ||| UnixFileMode.OtherExecute)

              try
                  asOrdinaryUser (fun () ->
                      Expect.throwsT<UnauthorizedAccessException> (fun () -> SafetensorsWriter().Save path) "error")

                  expectOnly path "old"B
              finally
                  File.SetUnixFileMode(
                      folder,
                      UnixFileMode.UserRead ||| UnixFileMode.UserWrite ||| UnixFileMode.UserExecute
                  ))
      }

      // The compiler would replace it in a literal.
      let half = string (char 0xD800)

      for what, action in
          [ "a name twice", add "a" DType.U8 [ 0L ] [||] >> add "a" DType.U8 [ 0L ] [||]
            "the metadata's name", add "__metadata__" DType.U8 [ 0L ] [||]
            "bytes that do not fill the shape", add "a" DType.F32 [ 2L ] [| 1uy |]
            "half of a surrogate pair in a name", add ("a" + half) DType.U8 [ 0L ] [||]
            "half of a surrogate pair in a key", (fun writer -> writer.Describe(half + "a", "b"))
            "half of a surrogate pair in a value", (fun writer -> writer.Describe("a", half + "b"))
            "a negative size", add "a" DType.U8 [ -1L ] [||]
            "sizes that overflow", add "a" DType.U8 [ 1L <<< 32; 1L <<< 32 ] [||] ] do
          test $"the writer rejects {what}" {
              Expect.throwsT<ArgumentException> (fun () -> SafetensorsWriter() |> action |> ignore) "error"
          } ]
