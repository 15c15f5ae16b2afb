/// Hostile archives, and folders with pipes, devices and links.
module NormFree.Tests.Data.ArchiveTests

open System
open System.Diagnostics
open System.IO
open System.IO.Compression
open Expecto
open NormFree.Data
open NormFree.Tests.Data.Support
open NormFree.Tests.Data.ArchiveSupport

/// A zip of one file of zeros.
let private zeros (folder: TempFolder) count =
    let path = folder.File "zeros.zip"
    zip path [ "train/cat/1.png", Array.zeroCreate count ]
    path

/// A gzip of a million zeros.
let private millionZeros =
    lazy
        (use target = new MemoryStream()

         using (new GZipStream(target, CompressionLevel.SmallestSize)) (fun stream ->
             stream.Write(ReadOnlySpan(Array.zeroCreate<byte> 1_000_000)))

         target.ToArray())

let private bombs =
    [ test "a zip entry above the ratio limit is rejected before it is decompressed" {
          use folder = new TempFolder()
          let set = ok (openAll (zeros folder 20_000_000))
          let result, allocated = allocating (fun () -> set.Read 0)
          contains [ "1.png"; "20000000 bytes"; "200 times" ] (error result)
          Expect.isLessThan allocated 1_000_000L "allocated"
      }

      test "a zip whose small entries exceed the ratio limit in total is rejected before they are decompressed" {
          use folder = new TempFolder()
          let path = folder.File "zeros.zip"
          zip path [ for i in 1..40 -> $"train/cat/{i}.png", Array.zeroCreate 1_000_000 ]
          let result, allocated = allocating (fun () -> openAll path)
          contains [ "zeros.zip"; "40000000 bytes"; "200 times" ] (error result)
          Expect.isLessThan allocated 1_000_000L "allocated"
      }

      test "a file of up to 1 MiB may exceed the ratio limit" {
          use folder = new TempFolder()
          Expect.hasLength (ok ((ok (openAll (zeros folder 1_000_000))).Read 0)) 1_000_000 "bytes"
      }

      test "a tar.gz above the ratio limit is rejected early, even inside unwanted files" {
          use folder = new TempFolder()
          // 300 MB of zeros in 300 kB, in one file.
          let head = gzip (tarHeader "a" 999_999_999L '0')
          let path = folder.Write("bomb.tar.gz", Array.concat (head :: List.replicate 300 millionZeros.Value))
          let clock = Stopwatch.StartNew()
          let result, allocated = allocating (fun () -> Archive.openWith limits (fun name -> name = "none") path)
          contains [ "bomb.tar.gz"; "200 times" ] (error result)
          Expect.isLessThan allocated 2_000_000L "allocated"
          Expect.isLessThan clock.Elapsed.TotalSeconds 5.0 "seconds"
      }

      test "a tar.gz whose files exceed the memory limit is rejected" {
          use folder = new TempFolder()
          let entries = [ for i in 1..9 -> $"train/cat/{i}.png", randomBytes i 100_000 ]
          let path = folder.Write("set.tar.gz", gzip (tar entries))
          let few = { limits with MemoryBytes = 300_000L }
          let result, allocated = allocating (fun () -> Archive.openWith few (fun _ -> true) path)
          contains [ "too large"; "gunzip" ] (error result)
          Expect.isLessThan allocated 3_000_000L "allocated"
      }

      test "a thousand zip entries that share compressed bytes are rejected before they are decompressed" {
          use folder = new TempFolder()
          let path = zeros folder 20_000_000
          // 1000 directory entries for one file: 20 GB in total.
          let bytes = File.ReadAllBytes path
          let at = BitConverter.ToInt32(bytes, bytes.Length - 6)
          let entry = Array.sub bytes at (bytes.Length - 22 - at)

          let named i =
              let copy = Array.copy entry
              Text.Encoding.ASCII.GetBytes($"%03d{i}.png").CopyTo(copy, copy.Length - 7)
              copy

          let ending = Array.skip (bytes.Length - 22) bytes
          let count = BitConverter.GetBytes 1000us
          Array.blit count 0 ending 8 2
          Array.blit count 0 ending 10 2
          Array.blit (BitConverter.GetBytes(1000 * entry.Length)) 0 ending 12 4
          let head = Array.truncate at bytes
          File.WriteAllBytes(path, Array.concat [ head; Array.collect named [| 0..999 |]; ending ])
          let set = ok (openAll path)
          Expect.hasLength set.Files 1000 "entries"

          let (), allocated =
              allocating (fun () ->
                  for i in 0..999 do
                      contains [ $"{i}.png"; "20000000 bytes"; "200 times" ] (error (set.Read i)))

          Expect.isLessThan allocated 5_000_000L "allocated"
      } ]

let private damaged =
    [ test "a flipped bit in a zip entry is detected by its checksum" {
          use folder = new TempFolder()
          let path = folder.File "set.zip"

          using (ZipFile.Open(path, ZipArchiveMode.Create)) (fun archive ->
              use stream = archive.CreateEntry("x.png", CompressionLevel.NoCompression).Open()
              stream.Write(ReadOnlySpan(randomBytes 1 1000)))

          let bytes = File.ReadAllBytes path
          bytes[500] <- bytes[500] ^^^ 1uy
          File.WriteAllBytes(path, bytes)
          contains [ "x.png"; "checksum" ] (error ((ok (openAll path)).Read 0))
      }

      test "a flipped bit in a tar.gz is detected by its checksum" {
          use folder = new TempFolder()
          let bytes = gzip (tar [ image ])
          bytes[bytes.Length - 7] <- bytes[bytes.Length - 7] ^^^ 1uy
          contains [ "truncated or damaged" ] (error (openAll (folder.Write("set.tar.gz", bytes))))
      }

      for lost in [ 1..20 ] @ [ 25; 30 ] do
          test $"a tar.gz that lacks its last {lost} bytes is rejected" {
              use folder = new TempFolder()
              let bytes = gzip (tar [ image ])
              let cut = Array.truncate (bytes.Length - lost) bytes
              contains [ "set.tar.gz"; "truncated or damaged" ] (error (openAll (folder.Write("set.tar.gz", cut))))
          }

      for what, more in [ "zeros", Array.zeroCreate 100; "text", Array.create 100 120uy ] do
          test $"{what} after a tar.gz are ignored" {
              use folder = new TempFolder()
              let bytes = Array.append (gzip (tar [ image ])) more
              Expect.hasLength (ok (openAll (folder.Write("set.tar.gz", bytes)))).Files 1 "files"
          }

      test "two tar.gz in one file are an error" {
          use folder = new TempFolder()
          let bytes = Array.append (gzip (tar [ image ])) (gzip (tar [ "train/dog/1.png", picture ]))
          contains [ "more files follow" ] (error (openAll (folder.Write("set.tar.gz", bytes))))
      }

      for what, change in
          [ "the last part of a split zip", (fun (bytes: byte[]) -> bytes[bytes.Length - 18] <- 2uy)
            "the first part of a split zip",
            (fun bytes ->
                "PK\007\008"B.CopyTo(bytes, 0)
                bytes[bytes.Length - 22] <- 0uy) ] do
          test $"{what} is named as such" {
              use folder = new TempFolder()
              let path = folder.File "set.zip"
              zip path [ image ]
              let bytes = File.ReadAllBytes path
              change bytes
              File.WriteAllBytes(path, bytes)
              contains [ "set.zip"; "one part of a zip"; "zip -s 0" ] (error (openAll path))
          }

      test "an encrypted zip entry is an error with its name" {
          use folder = new TempFolder()
          let path = folder.File "set.zip"
          zip path [ image ]
          let bytes = File.ReadAllBytes path
          let at = BitConverter.ToInt32(bytes, bytes.Length - 6)

          for flags in [ 6; at + 8 ] do
              bytes[flags] <- bytes[flags] ||| 1uy

          File.WriteAllBytes(path, bytes)
          contains [ "1.png"; "encrypted"; "password" ] (error ((ok (openAll path)).Read 0))
      } ]

let private folders =
    [ test "a pipe in a folder does not block" {
          if not (File.Exists "/usr/bin/mkfifo") then
              skiptest "mkfifo is not installed"

          use folder = new TempFolder()
          use make = Process.Start("/usr/bin/mkfifo", folder.File "x.png")
          make.WaitForExit()
          contains [ "x.png"; "pipe" ] (error ((ok (openAll folder.Path)).Read 0))
      }

      test "a folder that is too deep is an error, not a loss" {
          use folder = new TempFolder()
          let path = String.Join('/', Array.create 20 "d")
          folder.Write($"{path}/1.png", picture) |> ignore
          Expect.hasLength (ok (openAll folder.Path)).Files 1 "20 folders"
          folder.Write($"{path}/{path}/1.png", picture) |> ignore
          contains [ "32 folders" ] (error (openAll folder.Path))
      }

      test "a tar that is a pipe is not waited for" {
          if not (File.Exists "/usr/bin/mkfifo") then
              skiptest "mkfifo is not installed"

          use folder = new TempFolder()
          Directory.CreateDirectory(folder.File "train") |> ignore
          use make = Process.Start("/usr/bin/mkfifo", folder.File "train/cat.tar")
          make.WaitForExit()
          Expect.hasLength (ok (Archive.openNested limits folder.Path)).Files 1 "files"
      }

      test "a link to a device is empty, and a link to an image is followed" {
          if not (File.Exists "/dev/zero") then
              skiptest "there is no /dev/zero"

          use folder = new TempFolder()
          use elsewhere = new TempFolder()
          File.CreateSymbolicLink(folder.File "a.png", "/dev/zero") |> ignore
          File.CreateSymbolicLink(folder.File "b.png", elsewhere.Write("x.png", picture)) |> ignore
          let set = ok (openAll folder.Path)
          let read name = set.Read(Option.get (FileSet.tryFind name set))
          Expect.isEmpty (ok (read "a.png")) "of the device"
          Expect.equal (ok (read "b.png")) picture "of the picture"
      }

      test "cycles of links end" {
          use folder = new TempFolder()
          folder.Write("train/cat/1.png", picture) |> ignore
          Directory.CreateSymbolicLink(folder.File "train/cat/loop", folder.Path) |> ignore
          let set = ok (openAll folder.Path)
          Expect.isLessThan set.Files.Length 20 "files"
      }

      test "a link to a folder above the data set does not list images twice" {
          use folder = new TempFolder()
          folder.Write("set/train/cat/1.png", picture) |> ignore
          Directory.CreateSymbolicLink(folder.File "set/train/up", folder.Path) |> ignore
          let set = ok (openAll (folder.File "set"))
          Expect.equal set.Files [| "train/cat/1.png" |] "files"
      }

      test "a dangling link is an unreadable image" {
          use folder = new TempFolder()
          File.CreateSymbolicLink(folder.File "x.png", folder.File "gone") |> ignore
          contains [ "x.png"; "no such file" ] (error ((ok (openAll folder.Path)).Read 0))
      } ]

let tests =
    testList
        "archives"
        [ testList "names" ArchiveNameTests.names
          testList "links" ArchiveNameTests.links
          testList "bombs" bombs
          testList "damaged" damaged
          testList "folders" folders ]
