namespace NormFree.Data

open System

/// <summary>A file to download and its checksum.</summary>
type Remote =
    {
        /// The file's name, locally and on mirrors.
        FileName: string
        Address: Uri
        /// Addresses of the same file that are tried in turn if the first one fails.
        Mirrors: Uri list
        /// The publisher's checksum in lower-case hexadecimal. Detects transmission errors, not forgeries.
        Md5: string
        Bytes: int64
    }

/// <summary>A data set to download: its files, its licence, and the folder in which they are kept apart; empty for a single archive.</summary>
type RemoteDataset = { Name: string; Files: Remote list; Folder: string; Licence: string }

/// <summary>The data sets that <c>normfree data get</c> downloads.</summary>
module RemoteDatasets =
    /// A file at the first of these folders, and on mirrors in the others.
    let private file (folders: string list) fileName md5 bytes =
        { FileName = fileName
          Address = Uri(folders.Head + fileName)
          Mirrors = [ for folder in folders.Tail -> Uri(folder + fileName) ]
          Md5 = md5
          Bytes = bytes }

    let private toronto = file [ "https://www.cs.toronto.edu/~kriz/" ]

    /// CIFAR-10, binary version.
    let cifar10 =
        { Name = "cifar10"
          Files = [ toronto "cifar-10-binary.tar.gz" "c32a1d4ab5d03f1284b67883e8d87530" 170052171L ]
          Folder = ""
          Licence = "its authors (Krizhevsky 2009) name no licence; they ask to cite the technical report" }

    /// CIFAR-100, binary version.
    let cifar100 =
        { cifar10 with
            Name = "cifar100"
            Files = [ toronto "cifar-100-binary.tar.gz" "03b5dce01913d631647c71ecec9e9cb8" 168513733L ] }

    let private mnistFile =
        file
            [ "https://ossci-datasets.s3.amazonaws.com/mnist/"
              "https://storage.googleapis.com/cvdf-datasets/mnist/" ]

    /// MNIST. Its original site has asked for passwords since 2024; these are mirrors of it.
    let mnist =
        { Name = "mnist"
          Files =
            [ mnistFile "train-images-idx3-ubyte.gz" "f68b3c2dcbeaaa9fbdd348bbdeb94873" 9912422L
              mnistFile "train-labels-idx1-ubyte.gz" "d53e105ee54ea40749a09fcbcd1e9432" 28881L
              mnistFile "t10k-images-idx3-ubyte.gz" "9fb629c4189551a2d022fa330f9573f3" 1648877L
              mnistFile "t10k-labels-idx1-ubyte.gz" "ec29112dd5afa0611ce80d1b7f02629c" 4542L ]
          Folder = "mnist"
          Licence = "CC BY-SA 3.0 (LeCun, Cortes and Burges)" }

    let private fashionFile =
        file
            [ "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
              "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/" ]

    /// Fashion-MNIST.
    let fashionMnist =
        { Name = "fashion-mnist"
          Files =
            [ fashionFile "train-images-idx3-ubyte.gz" "8d4fb7e6c68d591d4c3dfef9ec88bf0d" 26421880L
              fashionFile "train-labels-idx1-ubyte.gz" "25c81989df183df01b3e8a0aad5dffbe" 29515L
              fashionFile "t10k-images-idx3-ubyte.gz" "bef4ecab320f06d8554ea6380940ec79" 4422102L
              fashionFile "t10k-labels-idx1-ubyte.gz" "bb300cfdad3c16e7a12a480ee83cd310" 5148L ]
          Folder = "fashion-mnist"
          Licence = "MIT (Zalando SE)" }

    /// EMNIST with all its splits in one archive.
    let emnist =
        { Name = "emnist"
          Files =
            [ file
                  [ "https://biometrics.nist.gov/cs_links/EMNIST/" ]
                  "gzip.zip"
                  "58c8d27c78d21e728a6bc7b3cc06412e"
                  561753746L ]
          Folder = "emnist"
          Licence = "NIST names no licence; as a work of the US government it is free of copyright in the USA" }

    /// All of them. The synthetic data set is computed, and folders are the user's own.
    let all = [ cifar10; cifar100; mnist; fashionMnist; emnist ]

    /// The data set with this name in `normfree data get`.
    let tryFind name = all |> List.tryFind (fun dataset -> dataset.Name = name)

    /// The file on a mirror: the mirror's address plus the file's name.
    let fromMirror (mirror: Uri) remote =
        let folder =
            if mirror.AbsoluteUri.EndsWith '/' then
                mirror
            else
                Uri(mirror.AbsoluteUri + "/")

        { remote with Address = Uri(folder, remote.FileName); Mirrors = [] }
