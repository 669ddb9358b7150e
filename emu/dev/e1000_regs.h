/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Register offsets, bits and descriptor formats of the 82540EM, under the datasheet's names (Intel, PCI/PCI-X
 * Family of Gigabit Ethernet Controllers Software Developer's Manual: chapter 13 registers, chapter 3
 * descriptors). Used by e1000*.c and the tests.
 */
#pragma once

#include <stdint.h>

enum e1000_register {
    E1000_CTRL = 0x0000,
    E1000_CTRL_DUP = 0x0004,
    E1000_STATUS = 0x0008,
    E1000_EECD = 0x0010,
    E1000_EERD = 0x0014,
    E1000_CTRL_EXT = 0x0018,
    E1000_FLA = 0x001c,
    E1000_MDIC = 0x0020,
    E1000_FCAL = 0x0028,
    E1000_FCAH = 0x002c,
    E1000_FCT = 0x0030,
    E1000_VET = 0x0038,
    E1000_ICR = 0x00c0,
    E1000_ITR = 0x00c4,
    E1000_ICS = 0x00c8,
    E1000_IMS = 0x00d0,
    E1000_IMC = 0x00d8,
    E1000_RCTL = 0x0100,
    E1000_FCTTV = 0x0170,
    E1000_TXCW = 0x0178,
    E1000_RXCW = 0x0180,
    E1000_TCTL = 0x0400,
    E1000_TIPG = 0x0410,
    E1000_TBT = 0x0448,
    E1000_AIT = 0x0458,
    E1000_LEDCTL = 0x0e00,
    E1000_PBA = 0x1000,
    E1000_FCRTL = 0x2160,
    E1000_FCRTH = 0x2168,
    E1000_RDFH = 0x2410,
    E1000_RDFT = 0x2418,
    E1000_RDFHS = 0x2420,
    E1000_RDFTS = 0x2428,
    E1000_RDFPC = 0x2430,
    E1000_RDBAL = 0x2800,
    E1000_RDBAH = 0x2804,
    E1000_RDLEN = 0x2808,
    E1000_RDH = 0x2810,
    E1000_RDT = 0x2818,
    E1000_RDTR = 0x2820,
    E1000_RXDCTL = 0x2828,
    E1000_RADV = 0x282c,
    E1000_RSRPD = 0x2c00,
    E1000_TXDMAC = 0x3000,
    E1000_TDFH = 0x3410,
    E1000_TDFT = 0x3418,
    E1000_TDFHS = 0x3420,
    E1000_TDFTS = 0x3428,
    E1000_TDFPC = 0x3430,
    E1000_TDBAL = 0x3800,
    E1000_TDBAH = 0x3804,
    E1000_TDLEN = 0x3808,
    E1000_TDH = 0x3810,
    E1000_TDT = 0x3818,
    E1000_TIDV = 0x3820,
    E1000_TXDCTL = 0x3828,
    E1000_TADV = 0x382c,
    E1000_TSPMT = 0x3830,
    /* statistics, 13.7 */
    E1000_CRCERRS = 0x4000,
    E1000_ALGNERRC = 0x4004,
    E1000_SYMERRS = 0x4008,
    E1000_RXERRC = 0x400c,
    E1000_MPC = 0x4010,
    E1000_SCC = 0x4014,
    E1000_ECOL = 0x4018,
    E1000_MCC = 0x401c,
    E1000_LATECOL = 0x4020,
    E1000_COLC = 0x4028,
    E1000_DC = 0x4030,
    E1000_TNCRS = 0x4034,
    E1000_SEC = 0x4038,
    E1000_CEXTERR = 0x403c,
    E1000_RLEC = 0x4040,
    E1000_XONRXC = 0x4048,
    E1000_XONTXC = 0x404c,
    E1000_XOFFRXC = 0x4050,
    E1000_XOFFTXC = 0x4054,
    E1000_FCRUC = 0x4058,
    E1000_PRC64 = 0x405c,
    E1000_PRC1522 = 0x4070,
    E1000_GPRC = 0x4074,
    E1000_BPRC = 0x4078,
    E1000_MPRC = 0x407c,
    E1000_GPTC = 0x4080,
    E1000_GORCL = 0x4088,
    E1000_GORCH = 0x408c,
    E1000_GOTCL = 0x4090,
    E1000_GOTCH = 0x4094,
    E1000_RNBC = 0x40a0,
    E1000_RUC = 0x40a4,
    E1000_RFC = 0x40a8,
    E1000_ROC = 0x40ac,
    E1000_RJC = 0x40b0,
    E1000_MGTPRC = 0x40b4,
    E1000_MGTPDC = 0x40b8,
    E1000_MGTPTC = 0x40bc,
    E1000_TORL = 0x40c0,
    E1000_TORH = 0x40c4,
    E1000_TOTL = 0x40c8,
    E1000_TOTH = 0x40cc,
    E1000_TPR = 0x40d0,
    E1000_TPT = 0x40d4,
    E1000_PTC64 = 0x40d8,
    E1000_PTC1522 = 0x40ec,
    E1000_MPTC = 0x40f0,
    E1000_BPTC = 0x40f4,
    E1000_TSCTC = 0x40f8,
    E1000_TSCTFC = 0x40fc,
    E1000_RXCSUM = 0x5000,
    E1000_MTA = 0x5200,
    E1000_RA = 0x5400,
    E1000_VFTA = 0x5600,
    E1000_WUC = 0x5800,
    E1000_WUFC = 0x5808,
    E1000_WUS = 0x5810,
    E1000_MANC = 0x5820,
    E1000_IPAV = 0x5838,
    E1000_IP4AT = 0x5840,
    E1000_IP6AT = 0x5880,
    E1000_WUPL = 0x5900,
    E1000_WUPM = 0x5a00,
    E1000_FFLT = 0x5f00,
    E1000_REGISTERS_END = 0x6000,
    E1000_BAR_SIZE = 0x20000,
    E1000_IO_BAR_SIZE = 64,
};

#define E1000_CTRL_FD      (1u << 0)
#define E1000_CTRL_LRST    (1u << 3)
#define E1000_CTRL_ASDE    (1u << 5)
#define E1000_CTRL_SLU     (1u << 6)
#define E1000_CTRL_SPEED   (3u << 8)
#define E1000_CTRL_FRCSPD  (1u << 11)
#define E1000_CTRL_FRCDPX  (1u << 12)
#define E1000_CTRL_RST     (1u << 26)
#define E1000_CTRL_RFCE    (1u << 27)
#define E1000_CTRL_TFCE    (1u << 28)
#define E1000_CTRL_VME     (1u << 30)
#define E1000_CTRL_PHY_RST (1u << 31)

#define E1000_STATUS_FD    (1u << 0)
#define E1000_STATUS_LU    (1u << 1)
#define E1000_STATUS_TXOFF (1u << 4)

#define E1000_CTRL_EXT_EE_RST (1u << 13)

#define E1000_EECD_SK   (1u << 0)
#define E1000_EECD_CS   (1u << 1)
#define E1000_EECD_DI   (1u << 2)
#define E1000_EECD_DO   (1u << 3)
#define E1000_EECD_FWE  (3u << 4)
#define E1000_EECD_REQ  (1u << 6)
#define E1000_EECD_GNT  (1u << 7)
#define E1000_EECD_PRES (1u << 8)

#define E1000_EERD_START (1u << 0)
#define E1000_EERD_DONE  (1u << 4)

#define E1000_MDIC_OP_WRITE (1u << 26)
#define E1000_MDIC_OP_READ  (2u << 26)
#define E1000_MDIC_R        (1u << 28)
#define E1000_MDIC_I        (1u << 29)
#define E1000_MDIC_E        (1u << 30)

/* ICR, ICS, IMS, IMC */
#define E1000_INT_TXDW    (1u << 0)
#define E1000_INT_TXQE    (1u << 1)
#define E1000_INT_LSC     (1u << 2)
#define E1000_INT_RXSEQ   (1u << 3)
#define E1000_INT_RXDMT0  (1u << 4)
#define E1000_INT_RXO     (1u << 6)
#define E1000_INT_RXT0    (1u << 7)
#define E1000_INT_MDAC    (1u << 9)
#define E1000_INT_RXCFG   (1u << 10)
#define E1000_INT_PHYINT  (1u << 12)
#define E1000_INT_TXD_LOW (1u << 15)
#define E1000_INT_SRPD    (1u << 16)
#define E1000_INT_ALL     0x1ffffu

#define E1000_RCTL_EN       (1u << 1)
#define E1000_RCTL_SBP      (1u << 2)
#define E1000_RCTL_UPE      (1u << 3)
#define E1000_RCTL_MPE      (1u << 4)
#define E1000_RCTL_LPE      (1u << 5)
#define E1000_RCTL_LBM      (3u << 6)
#define E1000_RCTL_BAM      (1u << 15)
#define E1000_RCTL_VFE      (1u << 18)
#define E1000_RCTL_CFIEN    (1u << 19)
#define E1000_RCTL_CFI      (1u << 20)
#define E1000_RCTL_DPF      (1u << 22)
#define E1000_RCTL_PMCF     (1u << 23)
#define E1000_RCTL_BSEX     (1u << 25)
#define E1000_RCTL_SECRC    (1u << 26)
#define E1000_RCTL_RDMTS(r) ((r) >> 8 & 3)
#define E1000_RCTL_MO(r)    ((r) >> 12 & 3)
#define E1000_RCTL_BSIZE(r) ((r) >> 16 & 3)

#define E1000_TCTL_EN  (1u << 1)
#define E1000_TCTL_PSP (1u << 3)

#define E1000_RDTR_FPD (1u << 31)

#define E1000_RAH_AV      (1u << 31)
#define E1000_RAH_AS(rah) ((rah) >> 16 & 3)

#define E1000_RXCSUM_PCSS  0xffu
#define E1000_RXCSUM_IPOFL (1u << 8)
#define E1000_RXCSUM_TUOFL (1u << 9)

/* Receive descriptor: address 8, length 2, packet checksum 2, status 1, errors 1, special 2. */
#define E1000_RXD_DD    (1u << 0)
#define E1000_RXD_EOP   (1u << 1)
#define E1000_RXD_IXSM  (1u << 2)
#define E1000_RXD_VP    (1u << 3)
#define E1000_RXD_TCPCS (1u << 5)
#define E1000_RXD_IPCS  (1u << 6)
#define E1000_RXD_PIF   (1u << 7)
#define E1000_RXE_RXE   (1u << 7)
#define E1000_RXE_IPE   (1u << 6)
#define E1000_RXE_TCPE  (1u << 5)

/* Transmit descriptors: address or context 8, then `lower` and `upper` double words. */
#define E1000_TXD_EOP         (1u << 24)
#define E1000_TXD_IFCS        (1u << 25)
#define E1000_TXD_IC          (1u << 26) /* legacy */
#define E1000_TXD_TSE         (1u << 26) /* extended */
#define E1000_TXD_RS          (1u << 27)
#define E1000_TXD_RPS         (1u << 28)
#define E1000_TXD_DEXT        (1u << 29)
#define E1000_TXD_VLE         (1u << 30)
#define E1000_TXD_IDE         (1u << 31)
#define E1000_TXD_DTYP(lower) ((lower) >> 20 & 15)
#define E1000_TXD_DTYP_DATA   1
#define E1000_TXD_DD          (1u << 0) /* upper */
#define E1000_TXD_IXSM        (1u << 8) /* upper, POPTS */
#define E1000_TXD_TXSM        (1u << 9)
/* Context descriptor, lower: TUCMD */
#define E1000_TXC_TCP (1u << 24)
#define E1000_TXC_IP  (1u << 25)
