/// Files whose names do not say what they are.
module NormFree.Tests.Data.ContentTests

open System
open System.Diagnostics
open System.IO
open System.IO.Compression
open System.Text
open Expecto
open NormFree.Data
open NormFree.Tests.Data.Support

let private limits = FileSet.defaultLimits
let private openAll = Archive.openWith limits (fun _ -> true)
let private picture = png (noise (RandomStream.OfKeys 1L) 6 5)

let private entries =
    [ for split in [ "train"; "test" ] do
          for label in [ "cat"; "dog" ] -> $"{split}/{label}/1.png", picture ]

let private zipped =
    lazy
        (use folder = new TempFolder()
         zip (folder.File "set.zip") entries
         File.ReadAllBytes(folder.File "set.zip"))

let private contents = [ "zip", zipped; "tar", lazy tar entries; "tar.gz", lazy gzip (tar entries) ]

let private byContent =
    [ for kind, bytes in contents do
          for name in [ "set"; "set.zip"; "set.tar"; "set.tar.gz"; "set.TGZ"; "set.bin" ] do
              test $"a {kind} named {name} is read by its content" {
                  use folder = new TempFolder()
                  let classes, train, _ = ok (ImageFolder.openWith limits (folder.Write(name, bytes.Value)))
                  Expect.equal (classes, train.Count) ([| "cat"; "dog" |], 2) "classes and images"
              }

      for what, bytes, parts in
          [ "bzip2", "BZh91AY&SY"B, [ "bzip2"; "bunzip2" ]
            "xz", [| 0xFDuy; 0x37uy; 0x7Auy; 0x58uy; 0x5Auy; 0uy; 0uy |], [ "xz"; "unxz" ]
            "Zstandard", [| 0x28uy; 0xB5uy; 0x2Fuy; 0xFDuy; 0uy |], [ "Zstandard" ]
            "7-Zip", [| 0x37uy; 0x7Auy; 0xBCuy; 0xAFuy; 0x27uy; 0x1Cuy |], [ "7-Zip"; "7z x" ]
            "RAR", "Rar!\x1a\x07\x00"B, [ "RAR"; "unrar" ]
            "a web page", "\n <!DOCTYPE html><html>"B, [ "web page"; "Download" ]
            "a Git LFS pointer", "version https://git-lfs.github.com/spec/v1\n"B, [ "Git LFS"; "git lfs pull" ]
            "an HDF5 file", [| 0x89uy; byte 'H'; byte 'D'; byte 'F' |], [ "HDF5" ]
            "a NumPy array", [| 0x93uy; byte 'N'; byte 'U'; byte 'M'; byte 'P'; byte 'Y' |], [ "NumPy" ] ] do
          for name in [ "set.tar.gz"; "set.zip"; "set" ] do
              test $"{what} named {name} is named as what it is" {
                  use folder = new TempFolder()
                  let text = error (openAll (folder.Write(name, bytes)))
                  contains (name :: parts) text
                  Expect.isFalse (text.Contains "damaged") "nothing is damaged"
              }

      for name in [ "set.zip"; "set.tar"; "set.tar.gz"; "set" ] do
          test $"an empty file named {name} is called empty" {
              use folder = new TempFolder()
              contains [ name; "it is empty" ] (error (openAll (folder.Write(name, [||]))))
          }

      test "a short text named .tar is no tar" {
          use folder = new TempFolder()
          contains [ "set.tar"; "68 69 0A" ] (error (openAll (folder.Write("set.tar", "hi\n"B))))
      }

      test "a plain file named .tar.gz is not called truncated only" {
          use folder = new TempFolder()
          contains [ "not a gzip file"; "68 65 6C 6C" ] (error (openAll (folder.Write("set.tar.gz", "hello, world"B))))
      }

      test "a gzip with another checksum is named as damaged, not as of another method" {
          use folder = new TempFolder()
          let bytes = gzip (tar entries)
          Array.Clear(bytes, bytes.Length - 8, 4)
          let message = error (openAll (folder.Write("set.tar.gz", bytes)))
          contains [ "checksum"; "damaged" ] message
          Expect.isFalse (message.Contains "method") "the reason"
      }

      test "a gzip of something else than a tar is named as what it is" {
          use folder = new TempFolder()
          contains [ "web page"; "no tar" ] (error (openAll (folder.Write("set.tar.gz", gzip "<html></html>"B))))
      }

      test "an empty file is said to be empty" {
          use folder = new TempFolder()
          contains [ "empty" ] (error (openAll (folder.Write("set.tar.gz", [||]))))
      } ]

/// The zip with another compression method in both headers of each entry.
let private withMethod (number: int) =
    let bytes = Array.copy zipped.Value

    for at in 0 .. bytes.Length - 12 do
        if bytes[at] = byte 'P' && bytes[at + 1] = byte 'K' then
            match bytes[at + 2], bytes[at + 3] with
            | 3uy, 4uy -> bytes[at + 8] <- byte number
            | 1uy, 2uy -> bytes[at + 10] <- byte number
            | _ -> ()

    bytes

/// A tar with one entry of this name in bytes.
let private tarNamed (names: byte[] list) =
    let entry (name: byte[]) =
        let block = tarHeader (String.replicate name.Length "x") (int64 picture.Length) '0'
        Array.blit name 0 block 0 name.Length
        Array.blit (Encoding.ASCII.GetBytes "        ") 0 block 148 8
        let sum = block |> Array.sumBy int
        Encoding.ASCII.GetBytes(Convert.ToString(sum, 8).PadLeft(6, '0') + "\000").CopyTo(block, 148)
        Array.concat [ block; picture; Array.zeroCreate ((512 - picture.Length % 512) % 512) ]

    Array.concat [ yield! List.map entry names; tarEnd ]

let private latin1 (text: string) = Encoding.Latin1.GetBytes text

let private names =
    [ for number, name in [ 12, "bzip2"; 14, "LZMA"; 93, "Zstandard" ] do
          test $"a zip compressed with {name} says so" {
              use folder = new TempFolder()
              let text = errors (ImageFolder.openWith limits (folder.Write("set.zip", withMethod number)))
              contains [ "set.zip"; "method"; name; "Unpack" ] text
          }

      test "names in a tar that are not UTF-8 stay different" {
          let files =
              [ for split in [ "train"; "test" ] do
                    for label in [ "caf\233"; "caf\232" ] -> latin1 $"{split}/{label}/1.png" ]

          use folder = new TempFolder()
          let classes, train, _ = ok (ImageFolder.openWith limits (folder.Write("set.tar", tarNamed files)))
          Expect.equal (classes, train.Count) ([| "cafè"; "café" |], 2) "classes"
          checkSource 2 train
      }

      test "names in a zip without the flag of UTF-8 are UTF-8 or code page 437" {
          use folder = new TempFolder()
          let path = folder.File "set.zip"
          let encoding = Encoding.Latin1

          using (ZipFile.Open(path, ZipArchiveMode.Create, encoding)) (fun archive ->
              for split in [ "train"; "test" ] do
                  // The bytes of é in code page 437, and in UTF-8.
                  for label in [ "caf\130"; encoding.GetString(Encoding.UTF8.GetBytes "caffè") ] do
                      use stream = archive.CreateEntry($"{split}/{label}/1.png").Open()
                      stream.Write(ReadOnlySpan picture))

          let classes, train, _ = ok (ImageFolder.openWith limits path)
          Expect.equal (classes, train.Count) ([| "caffè"; "café" |], 2) "classes"
      }

      test "a folder whose name is not UTF-8 is an error with the reason" {
          if not (OperatingSystem.IsLinux()) then
              skiptest "file systems elsewhere have names in Unicode"

          use folder = new TempFolder()
          folder.Write("train/dog/1.png", picture) |> ignore
          folder.Write("test/dog/1.png", picture) |> ignore

          let script =
              $"mkdir -p \"{folder.Path}/train/$(printf 'caf\\351')\" && cp \"{folder.Path}/train/dog/1.png\" \"{folder.Path}/train/$(printf 'caf\\351')/\""

          use shell = Process.Start("/bin/sh", [ "-c"; script ])
          shell.WaitForExit()
          contains [ "not UTF-8"; "Rename" ] (errors (ImageFolder.openWith limits folder.Path))
          use clean = Process.Start("/bin/sh", [ "-c"; $"rm -r \"{folder.Path}/train\"" ])
          clean.WaitForExit()
      } ]

let private cifar =
    let wrong kind files parts =
        use folder = new TempFolder()

        for name in files do
            folder.Write(name, "MATLAB 5.0 MAT-file"B) |> ignore

        contains parts (errors (Catalogue.load kind (Some folder.Path) Catalogue.defaults))

    [ test "another data set given as CIFAR is named" {
          wrong Cifar10 [ "train.bin"; "test.bin" ] [ "CIFAR-100"; "--dataset cifar100" ]

          wrong
              Cifar10
              [ "cifar-100-python/train"; "cifar-100-python/test"; "cifar-100-python/meta" ]
              [ "CIFAR-100"; "--dataset cifar100" ]

          wrong Cifar100 [ "data_batch_1" ] [ "CIFAR-10"; "--dataset cifar10" ]
          wrong Cifar10 [ "data_batch_1.mat" ] [ "Matlab"; "binary or the Python version" ]
      }

      test "a single file of another kind given as CIFAR is named" {
          use folder = new TempFolder()
          let load name bytes = errors (Catalogue.load Cifar10 (Some(folder.Write(name, bytes))) Catalogue.defaults)
          contains [ "a.mat"; "Matlab" ] (load "a.mat" "MATLAB 5.0 MAT-file"B)
          contains [ "a.bin"; "web page" ] (load "a.bin" "<html></html>"B)
          contains [ "a.7z"; "7-Zip" ] (load "a.7z" [| 0x37uy; 0x7Auy; 0xBCuy; 0xAFuy; 0x27uy; 0x1Cuy |])
      } ]

/// Data sets in files of their own, opened as a folder of images.
let private asFolder =
    [ for files, parts in
          [ [ "data_batch_1.bin"; "test_batch.bin" ], [ "it is CIFAR-10"; "--dataset cifar10" ]
            [ "cifar-10-batches-py/data_batch_1" ], [ "it is CIFAR-10"; "--dataset cifar10" ]
            [ "train.bin"; "test.bin" ], [ "it is CIFAR-100"; "--dataset cifar100" ]
            [ "cifar-100-python/train"; "cifar-100-python/test"; "cifar-100-python/meta" ],
            [ "it is CIFAR-100"; "--dataset cifar100" ]
            [ "train-images-idx3-ubyte.gz"; "train-labels-idx1-ubyte.gz" ],
            [ "MNIST"; "--dataset mnist or --dataset fashion-mnist" ]
            [ "train-images.idx3-ubyte" ], [ "MNIST" ]
            [ "gzip/emnist-letters-train-images-idx3-ubyte.gz" ], [ "it is EMNIST"; "--dataset emnist" ] ] do
          let message name write =
              use folder = new TempFolder()
              write folder
              Catalogue.load DatasetKind.ImageFolder (Some(folder.File name)) Catalogue.defaults |> errors

          test $"a folder with {files.Head} is named as the data set that it is" {
              message "set" (fun folder ->
                  for file in files do
                      folder.Write("set/" + file, [| 0uy |]) |> ignore)
              |> contains parts
          }

          test $"an archive with {files.Head} is named as the data set that it is" {
              message "set.tar.gz" (fun folder ->
                  folder.Write("set.tar.gz", gzip (tar [ for file in files -> file, [| 0uy |] ])) |> ignore)
              |> contains parts
          }

      test "a folder with images keeps its own errors" {
          use folder = new TempFolder()
          folder.Write("set/train/cat/1.png", picture) |> ignore
          folder.Write("set/train.bin", [| 0uy |]) |> ignore

          let text = Catalogue.load DatasetKind.ImageFolder (Some(folder.File "set")) Catalogue.defaults |> errors

          Expect.isFalse (text.Contains "CIFAR") text
      } ]

let tests =
    testList
        "contents and names"
        [ testList "by content" byContent
          testList "names" names
          testList "CIFAR" cifar
          testList "as a folder" asFolder ]
