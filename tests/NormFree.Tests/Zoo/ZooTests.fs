/// The networks of the zoo: their files, cards and pages, and their accuracy on the real test images.
module NormFree.Tests.Zoo.ZooTests

open System
open System.IO
open System.Threading
open Expecto
open NormFree.Cli
open NormFree.Data
open NormFree.Formats
open NormFree.Inference
open NormFree.Tests
open NormFree.Tests.Data.Support
open NormFree.Zoo

let private names = List.ofSeq ModelZoo.Names
let private repository = repository
let private networks = Path.Combine(repository, "src", "NormFree.Zoo", "Networks")

/// The message of an error of this type that the action must throw.
let private messageOf<'error when 'error :> exn> (action: unit -> unit) =
    match Expect.throwsC action id with
    | :? 'error as error -> error.Message
    | other -> failtest $"{other.GetType().Name}: {other.Message}"

let private kinds name =
    [ for kind in Enum.GetValues<ZooFileKind>() do
          if ModelZoo.Has(name, kind) then
              kind ]

let private files =
    [ test "the files in the sources are the cards and the files that cards describe" {
          let expected =
              [ for name in names do
                    $"{name}.card.json"

                    for kind in kinds name do
                        ModelZoo.FileName(name, kind) ]

          Expect.isNonEmpty names "networks"

          Expect.equal
              [ for path in Directory.GetFiles networks |> Array.sort -> string (Path.GetFileName path) ]
              (List.sort expected)
              "files"
      }

      test "a checkpoint is in the zoo, to start trainings from" {
          Expect.exists names (fun name -> ModelZoo.Has(name, ZooFileKind.Checkpoint)) "a checkpoint"
      }

      for name in names do
          test $"the files of {name} have the SHA-256 of its card" {
              for kind in kinds name do
                  Expect.isGreaterThan (ModelZoo.Bytes(name, kind)).Length 1000 $"bytes of {kind}"
          }

      test "a damaged file is rejected with both hashes" {
          let name = names.Head
          let bytes = ModelZoo.Bytes(name, ZooFileKind.Packed)
          bytes[bytes.Length / 2] <- bytes[bytes.Length / 2] ^^^ 1uy

          let damaged () = ZooResource.Require("it", ModelZoo.Card(name).Packed, ReadOnlySpan bytes)

          let hashes = [ ModelZoo.Card(name).Packed.Sha256; ZooResource.Hash(ReadOnlySpan bytes) ]
          contains ("zoo:it" :: "NormFree.Zoo" :: hashes) (messageOf<InvalidFileException> damaged)
      }

      test "a damaged copy in the user's folder is written again" {
          use folder = new TempFolder()
          let card = ModelZoo.Card names.Head
          let copy () = ZooFile.copyTo folder.Path card.Name ZooFileKind.Packed card.Packed
          let path = copy ()
          let whole = File.ReadAllBytes path
          File.WriteAllBytes(path, Array.sub whole 0 100)
          Expect.equal (File.ReadAllBytes(copy ())) whole "bytes"
      } ]

let private loading =
    [ for name in names do
          test $"{name} runs, with the classes of its card" {
              use network = PackedNetwork.Pretrained name
              let classes = [ for c in ModelZoo.Card(name).Accuracy.Classes -> c.Name ]
              Expect.equal (List.ofSeq network.ClassNames) classes "classes"
              let logits: float32[] = Array.zeroCreate network.Classes
              let rgb: byte[] = Array.init (40 * 50 * 3) (fun i -> byte (i * 7))
              network.Run(ImageInput.Of(network.Model, ReadOnlySpan rgb, 40, 50), logits)
              Expect.all logits Single.IsFinite "logits"
          }

      test "the options of a pretrained network are used" {
          let options = PackedOptions(Threads = PackedOptions.MaxThreads + 1)

          Expect.throwsT<ArgumentOutOfRangeException>
              (fun () -> PackedNetwork.Pretrained(names.Head, options).Dispose())
              "threads"
      }

      test "an unknown name is an error that lists all names" {
          let unknown () = (PackedNetwork.Pretrained "cifar10\u001b").Dispose()
          contains ("cifar10\\u001b" :: names) (messageOf<ArgumentException> unknown)
      }

      test "the checkpoint of a network that has none is an error that names the others" {
          for name in names do
              if not (ModelZoo.Has(name, ZooFileKind.Checkpoint)) then
                  let read () = ModelZoo.Bytes(name, ZooFileKind.Checkpoint) |> ignore
                  contains [ name; "checkpoint" ] (messageOf<InvalidOperationException> read)
      } ]

let private read (path: string) = File.ReadAllText path

let private cards =
    [ for name in names do
          test $"the card of {name} is written and read without a loss" {
              let path = Path.Combine(networks, $"{name}.card.json")
              Expect.equal (CardJson.Write(ModelZoo.Card name)) (File.ReadAllBytes path) "bytes"
          }

          test $"the page of {name} is that of its card, and in the table of contents" {
              let remedy = "run 'normfree zoo add' again"
              Expect.equal (read (ZooPages.page repository name)) ((ModelZoo.Card name).ToMarkdown()) remedy
              let contents = read (Path.Combine(repository, "docs", "toc.yml"))
              Expect.stringContains contents $"- name: {name}\n    href: zoo/{name}.md\n" "docs/toc.yml"
          }

          test $"the card of {name} names no folder of the machine that trained it" {
              let training = ModelZoo.Card(name).Training

              for command in training.Commands do
                  for word in command.Split ' ' do
                      Expect.isFalse (word.StartsWith '/' || word.StartsWith "runs/") $"{word} in {command}"

              Expect.isNonEmpty training.Stages "stages"
          }

      test "the table of docs/zoo.md is current" {
          let page = read (ZooPages.overview repository)
          let table = ZooPages.table [ for name in names -> ModelZoo.Card name ]
          Expect.equal page (ZooPages.withTable table page) "run 'normfree zoo add' again"
      }

      test "the table of docs/zoo.md lists networks by name, in any order of their cards" {
          // A file's name sorts differently: "a-small.card.json" comes before "a.card.json".
          let cards = [ for name in names -> ModelZoo.Card name ]
          Expect.equal (ZooPages.table (List.rev cards)) (ZooPages.table cards) "sorted"
          Expect.equal (List.sortWith (fun a b -> String.CompareOrdinal(a, b)) names) names "names"
      }

      test "a text that is no card is rejected" {
          for text in [ ""; "null"; "[]"; """{ "Name": "a" }""" ] do
              let read () = CardJson.Read(ReadOnlySpan(Text.Encoding.UTF8.GetBytes text), "a.card.json") |> ignore
              contains [ "a.card.json"; "model card" ] (messageOf<InvalidFileException> read)
      } ]

/// The full test set that a network was measured on. Skips the test if it is not on this machine.
let private dataset (name: string) size =
    let options = { Catalogue.defaults with Size = Some size }

    if name.StartsWith "cifar10-" then
        Catalogue.load Cifar10 (Some(shared "cifar10-jpeg.zip")) options
    elif name.StartsWith "imagenette-" then
        Catalogue.load ImageFolder (Some(shared "imagenette224.tar")) options
    else
        let folder = "/usr/share/datasets/fashion-mnist"

        if not (Directory.Exists folder) then
            skiptest "Debian's package dataset-fashion-mnist is not installed"

        Catalogue.load FashionMnist (Some folder) options

/// Sums are rounded differently by other instruction sets, which may flip a few images.
let private tolerance = 0.001

let private accuracy name =
    test $"{name} has the accuracy of its card on all test images" {
        let card = ModelZoo.Card name
        use network = PackedNetwork.Pretrained name
        let dataset = ok (dataset name network.Height)
        let measured = ZooAddCommand.accuracy CancellationToken.None (ZooFile.packed $"zoo:{name}") dataset
        Expect.equal (measured.Images()) card.Data.TestImages "images"
        Expect.isLessThan (abs (measured.Top1() - card.Accuracy.Top1())) tolerance "top-1"

        for measured, stated in Seq.zip measured.Classes card.Accuracy.Classes do
            Expect.equal (measured.Name.Length > 0, measured.Images) (true, stated.Images) $"images of {stated.Name}"
            Expect.isLessThan (abs (measured.Right - stated.Right)) (2 + stated.Images / 100) $"{stated.Name}"
    }

/// Photographs of 224 pixels take seconds to decode.
let private isSlow (name: string) = name.StartsWith "imagenette-"

let tests =
    testList
        "networks"
        (files @ loading @ cards @ [ for name in names |> List.filter (isSlow >> not) -> accuracy name ])

let soak = testList "zoo" [ for name in names |> List.filter isSlow -> accuracy name ]
